package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
)

func newTraceCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Ask the Traceability DB why something runs, and check what it says",
		Long: `The Traceability DB is the platform's flight recorder: who asked for a service, who wrote it, who
approved it, what was tested, which vulnerabilities were known, who signed, under which entry of the
register, who let it in or refused it; with proof that nobody changed that since.

These commands ask the trace of the platform on this machine, or with --url that of another. Every
question is recorded. trace verify and trace register validate ask nobody.`,
		Example: `  druppie-up trace why druppie/drone-service
  druppie-up trace search --kind admission --outcome denied
  druppie-up trace register list`,
	}
	cmd.AddCommand(newTraceWhyCmd(a), newTraceSearchCmd(a), newTraceExportCmd(a), newTraceVerifyCmd(a), newTraceRegisterCmd(a))
	return parent(cmd)
}

// traceOptions say which trace is asked, and as whom.
type traceOptions struct {
	options
	url, caFile, tokenFile string
	key                    string // the log's public key, where the user gave one
}

// traceFlags give a command the flags that say which trace is meant.
func traceFlags(cmd *cobra.Command, opts *traceOptions) {
	nameFlag(cmd, &opts.Options)
	f := cmd.Flags()
	f.StringVar(&opts.url, "url", "", "address of another platform's trace: https://…")
	complete(cmd, "url")
	f.StringVar(&opts.caFile, "ca-file", "", "file with the certificates to trust at --url (default: those of this machine)")
	f.StringVar(&opts.tokenFile, "token-file", "", "file with a token for --url; without one only what is public can be read")
}

// checkTraceOptions checks the flags before anything is asked.
func checkTraceOptions(cmd *cobra.Command, opts *traceOptions) error {
	if opts.url == "" {
		for _, flag := range []string{"ca-file", "token-file"} {
			if cmd.Flags().Changed(flag) {
				return ui.Usage(fmt.Errorf("--%s means something only with --url", flag))
			}
		}
		return completeOptions(cmd, &opts.Options)
	}
	if cmd.Flags().Changed("name") {
		return ui.Usage(errors.New("--name and --url exclude each other"))
	}
	if u, err := url.Parse(opts.url); err != nil || u.Scheme != "https" || u.Host == "" {
		return ui.WithHint(ui.Usage(fmt.Errorf("--url %q isn't the address of a trace", opts.url)), "give https://host:port; a token isn't sent over anything else")
	}
	return nil
}

// openTrace returns a client of the trace for an account of this machine's platform, and the key of its
// log where one comes from elsewhere than the trace itself.
func openTrace(ctx context.Context, opts *traceOptions, account string) (*client.Client, string, error) {
	if opts.url == "" {
		access, err := bootstrap.Trace(ctx, opts.Options)
		if err != nil {
			return nil, "", err
		}
		token := func(ctx context.Context) (string, error) { return access.Token(ctx, account) }
		return client.New(client.Options{URL: access.URL, HTTP: access.Client, Token: token}), cmp.Or(opts.key, access.Verifier), nil
	}
	o := client.Options{URL: opts.url}
	if opts.caFile != "" {
		ca, err := httpclient.ReadCA(opts.caFile)
		if err != nil {
			return nil, "", ui.Usage(fmt.Errorf("--ca-file: %w", err))
		}
		if o.HTTP, err = httpclient.New(httpclient.Options{CA: ca, Proxy: true}); err != nil {
			return nil, "", ui.Usage(fmt.Errorf("--ca-file: %w", err))
		}
	}
	if opts.tokenFile != "" {
		// Read at every request: tokens of a cluster are renewed in their file.
		o.Token = func(context.Context) (string, error) {
			raw, err := os.ReadFile(opts.tokenFile)
			if err != nil {
				return "", fmt.Errorf("read the token: %w", err)
			}
			return strings.TrimSpace(string(raw)), nil
		}
		if _, err := o.Token(ctx); err != nil {
			return nil, "", ui.Usage(fmt.Errorf("--token-file: %w", err))
		}
	}
	return client.New(o), opts.key, nil
}

// readKey reads a log's key that was given as it is, or as a file that holds it; none stays none.
func readKey(given string) (string, error) {
	if given == "" {
		return "", nil
	}
	if _, err := note.NewVerifier(given); err == nil {
		return given, nil
	}
	const hint = "give the log's public key, or a file that holds it; it looks like druppie.io/trace/druppie+1cc232be+AWTz…"
	raw, err := os.ReadFile(given)
	if err != nil {
		return "", ui.WithHint(ui.Usage(fmt.Errorf("--key: %w", err)), hint)
	}
	key := strings.TrimSpace(string(raw))
	if _, err := note.NewVerifier(key); err != nil {
		return "", ui.WithHint(ui.Usage(fmt.Errorf("--key: %s: %w", given, err)), hint)
	}
	return key, nil
}

// withTraceHint gives an error of the trace the hint that came with it, and one about the user's input the
// exit code of bad input.
func withTraceHint(err error) error {
	var e *tracedb.Error
	if !errors.As(err, &e) {
		return err
	}
	hint := e.Hint
	if errors.Is(err, tracedb.ErrUnauthenticated) && hint == "" {
		hint = "give a token with --token-file"
	}
	if hint != "" {
		err = ui.WithHint(err, hint)
	}
	if errors.Is(err, tracedb.ErrInvalid) {
		err = ui.Usage(err)
	}
	return err
}

// The languages of what is printed.
const (
	english = "en"
	dutch   = "nl"
)

func langFlag(cmd *cobra.Command, lang *string) {
	*lang = english
	cmd.Flags().Var(oneOf(lang, english, dutch), "lang", "language of what is told")
	complete(cmd, "lang", english, dutch)
}

// keyFlag gives a command the flag for a log's public key.
func keyFlag(cmd *cobra.Command, key *string, usage string) {
	cmd.Flags().StringVar(key, "key", "", usage)
}
