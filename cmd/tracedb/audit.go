package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auditlog"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/collect"
)

// auditOptions are the flags of `tracedb audit`.
type auditOptions struct{ dir, position, url, ca, token, ready string }

func newAuditCmd() *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Record what the API server's audit log tells, as it is written",
		Long: `audit follows the audit log of a Kubernetes API server where that writes it, and records in the trace what
admission refused, who reached into pods, and what others than the platform changed or may not. It keeps
how far it read in a file, so that it may be stopped and started.

It isn't ready where the log isn't there, or the trace doesn't take what it tells.`,
		Example: `  tracedb audit --log /var/log/kubernetes --position /var/lib/druppie/position --url https://tracedb:8443 --ca-file ca.crt --token-file token`,
		Args:    cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.dir == "" || o.position == "" || o.url == "" || o.token == "" {
				return ui.Usage(errors.New("--log, --position, --url and --token-file are needed"))
			}
			return o.run(cmd.Context(), slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil)))
		},
	}
	cmd.Flags().StringVar(&o.dir, "log", "", "the folder with "+auditlog.Current+" and its rotated files")
	cmd.Flags().StringVar(&o.position, "position", "", "the file that keeps how far the log was read")
	cmd.Flags().StringVar(&o.url, "url", "", "the trace")
	cmd.Flags().StringVar(&o.ca, "ca-file", "", "the authority of its certificate; without one, the system's")
	cmd.Flags().StringVar(&o.token, "token-file", "", "the token of who records, read anew each time")
	cmd.Flags().StringVar(&o.ready, "ready", "", "where to answer whether the log is read to its end, such as :8081; without it, nowhere")
	return cmd
}

// auditRetry is the pause after the log couldn't be followed.
const auditRetry = 5 * time.Second

func (o auditOptions) run(ctx context.Context, logger *slog.Logger) error {
	httpClient, err := newHTTPClient(o.ca)
	if err != nil {
		return err
	}
	token, err := auth.NewFile(o.token)
	if err != nil {
		return err
	}
	trace := client.New(client.Options{URL: o.url, HTTP: httpClient, Token: func(context.Context) (string, error) { return token.Value() }})
	collector := collect.NewAudit(collect.Options{Logger: logger, Sink: func(ctx context.Context, _ tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
		return trace.Record(ctx, drafts)
	}})
	var status readiness
	if o.ready != "" {
		stop, err := status.serve(ctx, o.ready, logger)
		if err != nil {
			return err
		}
		defer stop()
	}
	follower := auditlog.Follower{Dir: o.dir, Position: o.position, Logger: logger, Lines: func(ctx context.Context, lines [][]byte) error {
		if len(lines) > 0 {
			return collector.Lines(ctx, lines)
		}
		status.ok()
		return nil
	}}
	for {
		err := follower.Run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		logger.WarnContext(ctx, "follow the audit log", "error", err, "pause", auditRetry)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(auditRetry):
		}
	}
}

// readiness is when the log was last read to its end, and all of it recorded.
type readiness struct{ last atomic.Int64 } // nanoseconds since 1970

// freshness is how long ago that may be.
const freshness = 30 * time.Second

func (r *readiness) ok() { r.last.Store(time.Now().UnixNano()) }

// serve answers whether the log is read.
func (r *readiness) serve(ctx context.Context, address string, logger *slog.Logger) (stop func(), err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("answer whether the log is read: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if time.Since(time.Unix(0, r.last.Load())) > freshness {
			http.Error(w, "the audit log isn't read to its end, or not recorded", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.ErrorContext(ctx, "answer whether the log is read", "error", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}
