package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/spf13/cobra"
)

// traceGrantOptions are those of granting an exception, and of taking one back.
type traceGrantOptions struct {
	until string
	tracedb.Exception
	traceRegisterOptions
}

func newTraceRegisterGrantCmd(a *app) *cobra.Command {
	opts := &traceGrantOptions{}
	cmd := grantCmd(a, &cobra.Command{
		Use:   "grant ID",
		Short: "Let a service that is out of use run for some time after all",
		Long: `grant records an exception, which only a CISO may: the gatekeeper lets a service in although the
register says that it is out of use, until the time that is given, at most a year ahead. What the AI Act
forbids, and what the register doesn't know, no exception lifts. It stays in the log for ever, with the
reason and whoever granted it, and every admission that it made possible names it.`,
		Example: `  druppie-up trace register grant alg-d1jk3vl8 --until 2027-01-31 --by j.jansen --reason replaced
  druppie-up trace register grant alg-d1jk3vl8 --until 2027-01-31T12:00:00Z --by j.jansen --reason migration --image sha256:0000000000000000000000000000000000000000000000000000000000000000`,
	}, opts)
	cmd.Flags().StringVar(&opts.until, "until", "", "when it ends: 2027-01-31 (at the end of that day, UTC), or 2027-01-31T12:00:00Z")
	cli.Complete(cmd, "until")
	return cmd
}

func newTraceRegisterRevokeCmd(a *app) *cobra.Command {
	opts := &traceGrantOptions{until: "now"}
	return grantCmd(a, &cobra.Command{
		Use:   "revoke ID",
		Short: "Take back an exception before its time is over",
		Long: `revoke records that an exception ends now. It takes back the one for the same service, or with --image
the one for the same image of it. What runs goes on running; it isn't let in again.`,
		Example: `  druppie-up trace register revoke alg-d1jk3vl8 --by j.jansen --reason replaced`,
	}, opts)
}

// grantCmd finishes a command that records an exception.
func grantCmd(a *app, cmd *cobra.Command, opts *traceGrantOptions) *cobra.Command {
	cmd.Args = cli.Args("give the ID of an algorithm")
	cmd.PreRunE = func(*cobra.Command, []string) error { return opts.check() }
	registerCmd(a, cmd, &opts.traceRegisterOptions, bootstrap.TraceCISO, func(ctx context.Context, c *client.Client) error {
		opts.Algorithm, opts.Rule = opts.id, catalog.RuleStatus
		payload, err := json.Marshal(opts.Exception)
		if err != nil {
			return fmt.Errorf("write the exception: %w", err)
		}
		receipts, err := c.Record(ctx, []tracedb.Draft{{ID: "exception/" + opts.Algorithm + "/" + rand.Text(), Kind: tracedb.KindException, Payload: payload}})
		if err != nil {
			return err
		}
		result := granted{opts.Exception, receipts[0].Seq}
		return writeResult(a.Out, opts.format, result, view{
			headers: []string{"id", "until", "granted by", "reason", "record"},
			rows:    [][]string{{result.Algorithm, result.Until.UTC().Format(time.DateTime), result.GrantedBy, result.Reason, strconv.FormatInt(result.Record, 10)}},
		})
	})
	f := cmd.Flags()
	f.StringVar(&opts.Reason, "reason", "", "why, for whoever reads it years later")
	f.StringVar(&opts.GrantedBy, "by", "", "name of the CISO who decided it")
	f.StringVar(&opts.Image, "image", "", "only for the image with this digest")
	f.StringVar(&opts.Ticket, "ticket", "", "where it was decided")
	for _, name := range []string{"reason", "by", "image", "ticket"} {
		cli.Complete(cmd, name)
	}
	outputFlag(cmd, &opts.format)
	return cmd
}

// check checks the flags, and makes the exception of them.
func (o *traceGrantOptions) check() error {
	for _, f := range []struct{ name, value string }{{"until", o.until}, {"by", o.GrantedBy}, {"reason", o.Reason}} {
		if f.value == "" {
			return ui.Usage(fmt.Errorf("--%s is missing", f.name))
		}
	}
	if o.Image != "" {
		digest := catalog.Digest(o.Image)
		if digest == "" {
			return ui.Usage(fmt.Errorf("--image: %q names no image by its digest", o.Image))
		}
		o.Image = digest
	}
	now := time.Now().UTC()
	if o.until == "now" {
		o.Until = now
		return nil
	}
	var err error
	if o.Until, err = time.Parse(time.DateOnly, o.until); err == nil {
		o.Until = o.Until.AddDate(0, 0, 1)
	} else if o.Until, err = time.Parse(time.RFC3339, o.until); err != nil {
		return ui.Usage(fmt.Errorf("--until: %q is no time: want 2027-01-31, or 2027-01-31T12:00:00Z", o.until))
	}
	if !o.Until.After(now) {
		return ui.WithHint(ui.Usage(errors.New("--until is over already")), "druppie-up trace register revoke takes an exception back")
	}
	return nil
}

// granted is the result of granting an exception, or of taking one back.
type granted struct {
	tracedb.Exception
	Record int64 `json:"record"`
}
