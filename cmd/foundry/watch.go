package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/listen"
	"github.com/druppie/druppie-up/cmd/foundry/internal/pipelinerun"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/cmd/foundry/internal/watch"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

func newWatchCmd() *cobra.Command {
	var s step
	var forge, secretFile, triggers string
	var interval time.Duration
	w := &watch.Watch{HTTP: &http.Client{Timeout: 30 * time.Second}}
	var cmd *cobra.Command
	cmd = newStep(&s, "watch", "Send lost events again and delete old runs, until stopped", func(ctx context.Context, out io.Writer) error {
		w.Secret = webhookSecret(secretFile)
		var err error
		if w.Gitea, err = anonymous(ctx, s.ca, forge); err != nil {
			return err
		}
		if w.Tekton, err = pipelinerun.InCluster(); err != nil {
			return err
		}
		named, err := readTriggers(triggers)
		if err != nil {
			return ui.Usage(err)
		}
		var all []*watch.Watch
		for _, repository := range listen.Repositories(named, names.MainBranch) {
			if _, err := source.URL(forge, repository); err != nil {
				return ui.Usage(err)
			}
			one := *w
			one.Repository = repository
			all = append(all, &one)
		}
		reconcile(ctx, all, interval, out, cmd.ErrOrStderr())
		return nil
	})
	s.flags(cmd, "ca-file")
	require(cmd, &forge, "forge", "address of Gitea, https://host:port")
	require(cmd, &w.Namespace, "namespace", "namespace of the runs")
	require(cmd, &w.Listener, "listener", "address that Gitea's webhook goes to")
	require(cmd, &secretFile, "secret-file", "file with the webhook's secret")
	require(cmd, &triggers, "triggers", "folder with the triggers, *.yaml: what they start on main is watched")
	f := cmd.Flags()
	f.DurationVar(&interval, "interval", 15*time.Second, "time between two checks")
	f.DurationVar(&w.Grace, "grace", 30*time.Second, "how long a commit may be without a run before its event counts as lost")
	f.IntVar(&w.Attempts, "attempts", 3, "how many runs of a commit may be cut off, as by a node that restarts, before none is started any more")
	f.IntVar(&w.Keep, "keep", 8, "how many finished runs are kept")
	return cmd
}

// reconcile goes on until the process is stopped. An error is printed
// and the next time makes up for it: Gitea may be starting.
func reconcile(ctx context.Context, all []*watch.Watch, interval time.Duration, out, errOut io.Writer) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, w := range all {
			done, err := w.Reconcile(ctx, time.Now())
			for _, line := range done {
				fmt.Fprintln(out, line)
			}
			if err != nil && ctx.Err() == nil {
				fmt.Fprintln(errOut, "error:", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
