package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"github.com/druppie/druppie-up/cmd/foundry/internal/listen"
	"github.com/druppie/druppie-up/cmd/foundry/internal/pipelinerun"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
)

func newListenCmd() *cobra.Command {
	var triggers, secretFile, namespace, address string
	cmd := &cobra.Command{
		Use:     "listen",
		Short:   "Start a run for each signed event of Gitea that a trigger names, until stopped",
		Args:    cli.Args(),
		PreRunE: checkRequired,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lines := log.New(cmd.OutOrStdout(), "", 0)
			o := listen.Options{Namespace: namespace, Secret: webhookSecret(secretFile), Log: func(line string) { lines.Println(line) }}
			var err error
			if o.Triggers, err = readTriggers(triggers); err != nil {
				return ui.Usage(err)
			}
			if _, err := o.Secret(); err != nil {
				return err
			}
			if o.Tekton, err = pipelinerun.InCluster(); err != nil {
				return err
			}
			return serve(cmd.Context(), address, listen.New(o))
		},
	}
	require(cmd, &triggers, "triggers", "folder with the triggers, *.yaml")
	require(cmd, &secretFile, "secret-file", "file with the webhook's secret")
	require(cmd, &namespace, "namespace", "namespace of the runs")
	cmd.Flags().StringVar(&address, "listen", ":8080", "address to listen at")
	return cmd
}

// webhookSecret reads what events are signed with, each time anew: whoever changes the Secret needs to restart nothing.
func webhookSecret(file string) func() (string, error) {
	return func() (string, error) {
		secret, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read the webhook's secret: %w", err)
		}
		return strings.TrimSpace(string(secret)), nil
	}
}

func readTriggers(dir string) ([]listen.Trigger, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("there is no trigger in %s", dir))
	}
	slices.Sort(files)
	var all []listen.Trigger
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a trigger: %w", err)
		}
		t, err := listen.ReadTrigger(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, t)
	}
	return all, nil
}

const (
	// eventTime is how long an event may take: Gitea waits ten seconds for an answer.
	eventTime = 9 * time.Second
	// maxConnections is how many callers may be connected: what they send before it is checked must fit the pod's memory.
	maxConnections = 256
	// lastTime is how long what has begun may take when the process is stopped.
	lastTime = 15 * time.Second
)

// serve answers until the context ends, and finishes what has begun by then.
func serve(ctx context.Context, address string, events http.Handler) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.TimeoutHandler(events, eventTime, "the API server doesn't answer"))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 20 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	return server.Shutdown(last)
}
