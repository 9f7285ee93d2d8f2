package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/evidence"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/cmd/foundry/internal/watch"
)

func watchCommand() *cobra.Command {
	var caFile, forge, secretFile string
	var interval time.Duration
	w := &watch.Watch{HTTP: &http.Client{Timeout: 30 * time.Second}}
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Send lost events again and clear old runs away, until stopped",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := trust.ReadCA(caFile)
			if err != nil {
				return err
			}
			secret, err := os.ReadFile(secretFile)
			if err != nil {
				return fmt.Errorf("read the webhook's secret: %w", err)
			}
			w.Secret = []byte(strings.TrimSpace(string(secret)))
			rt, err := ca.Transport()
			if err != nil {
				return err
			}
			// Anybody may read a service's repository: no identity is needed.
			if w.Forge, err = gitea.NewClient(forge, gitea.SetContext(cmd.Context()), gitea.SetGiteaVersion(""),
				gitea.SetHTTPClient(&http.Client{Transport: rt, Timeout: time.Minute})); err != nil {
				return fmt.Errorf("reach Gitea at %s: %w", forge, err)
			}
			if w.Tekton, err = evidence.InCluster(); err != nil {
				return err
			}
			return keepLooking(cmd, w, interval)
		},
	}
	f := cmd.Flags()
	caFlag(f, &caFile)
	forgeFlag(f, &forge)
	f.StringVar(&w.Repository, "repository", "", "full name of the repository, owner/name")
	f.StringVar(&w.Namespace, "namespace", "", "namespace of the runs")
	f.StringVar(&w.Listener, "listener", "", "address that Gitea's webhook goes to")
	f.StringVar(&secretFile, "secret-file", "", "file with the webhook's secret")
	f.DurationVar(&interval, "interval", 15*time.Second, "time between two looks")
	f.DurationVar(&w.Grace, "grace", 30*time.Second, "how long a commit may be without a run before its event counts as lost")
	f.IntVar(&w.Keep, "keep", 20, "how many finished runs are kept")
	return required(cmd, "ca-file", "forge", "repository", "namespace", "listener", "secret-file")
}

// keepLooking looks until the process is told to stop. A look that fails says
// so and is made up for by the next: Gitea may be starting.
func keepLooking(cmd *cobra.Command, w *watch.Watch, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		did, err := w.Look(cmd.Context(), time.Now())
		for _, line := range did {
			fmt.Fprintln(cmd.OutOrStdout(), line)
		}
		if err != nil && cmd.Context().Err() == nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "look:", err)
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-tick.C:
		}
	}
}
