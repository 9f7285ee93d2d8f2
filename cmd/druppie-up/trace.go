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
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/spf13/cobra"
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
	return cli.Parent(cmd)
}

// traceOptions say which trace is asked, and as whom.
type traceOptions struct {
	options
	url, caFile, tokenFile string
	key                    string // the log's public key, if one is known that isn't the trace's own word
}

// traceCmd finishes a command that asks the trace as an account. What it is given is prepared before anything is
// asked.
func traceCmd(a *app, cmd *cobra.Command, opts *traceOptions, account string, prepare func(*cobra.Command, []string) error, run func(context.Context, *client.Client) error) *cobra.Command {
	opts.app = a
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := prepare(cmd, args); err != nil {
			return withTraceHint(err)
		}
		if err := checkTraceOptions(cmd, opts); err != nil {
			return err
		}
		c, err := openTrace(cmd.Context(), opts, account)
		if err != nil {
			return err
		}
		return withTraceHint(run(cmd.Context(), c))
	}
	platformFlags(cmd, &opts.Options)
	f := cmd.Flags()
	f.StringVar(&opts.url, "url", "", "address of another platform's trace: https://…")
	cli.Complete(cmd, "url")
	f.StringVar(&opts.caFile, "ca-file", "", "file with the certificates to trust at --url (default: those of this machine)")
	f.StringVar(&opts.tokenFile, "token-file", "", "file with a token for --url; without one only what is public can be read")
	return cmd
}

// subjectOptions are those of a command about a subject.
type subjectOptions struct {
	subject tracedb.Ref
	traceOptions
}

// subjectCmd finishes a command about a subject, whose answer is checked with the log's key.
func subjectCmd(a *app, cmd *cobra.Command, opts *subjectOptions, run func(context.Context, *client.Client) error) *cobra.Command {
	traceCmd(a, cmd, &opts.traceOptions, bootstrap.TraceAuditor, func(_ *cobra.Command, args []string) (err error) {
		if opts.subject, err = why.Subject(args[0]); err != nil {
			return err
		}
		opts.key, err = cli.LogKey(opts.key)
		return err
	}, run)
	cmd.Flags().StringVar(&opts.key, "key", "", "the log's public key, or a file with it (default: as the cluster has it, not the trace)")
	outputFlag(cmd, &opts.format)
	return cmd
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
	if cmd.Flags().Changed("name") || opts.Context != "" {
		return ui.Usage(errors.New("--url goes with neither --name nor --context"))
	}
	if u, err := url.Parse(opts.url); err != nil || u.Scheme != "https" || u.Host == "" {
		return ui.WithHint(ui.Usage(fmt.Errorf("--url %q isn't the address of a trace", opts.url)), "give https://host:port; a token isn't sent over anything else")
	}
	return nil
}

// openTrace returns a client of the trace for an account of this machine's platform, and sets the key of its
// log where one comes from elsewhere than the trace itself.
func openTrace(ctx context.Context, opts *traceOptions, account string) (*client.Client, error) {
	if opts.url == "" {
		access, err := bootstrap.Trace(ctx, opts.Options)
		if err != nil {
			return nil, err
		}
		token := func(ctx context.Context) (string, error) { return access.Token(ctx, account) }
		opts.key = cmp.Or(opts.key, access.Verifier)
		return client.New(client.Options{URL: access.URL, HTTP: access.Client, Token: token}), nil
	}
	o := client.Options{URL: opts.url}
	if opts.caFile != "" {
		ca, err := httpclient.ReadCA(opts.caFile)
		if err != nil {
			return nil, ui.Usage(fmt.Errorf("--ca-file: %w", err))
		}
		if o.HTTP, err = httpclient.New(httpclient.Options{CA: ca, Proxy: true}); err != nil {
			return nil, ui.Usage(fmt.Errorf("--ca-file: %w", err))
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
			return nil, ui.Usage(fmt.Errorf("--token-file: %w", err))
		}
	}
	return client.New(o), nil
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

func langFlag(cmd *cobra.Command, lang *string) {
	cli.Choice(cmd, lang, "lang", "", "language of what is told", text.English, text.Dutch)
}
