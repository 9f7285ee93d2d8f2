package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/spf13/cobra"
)

func newNetworkCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "network", Short: "Say what the network policies do",
		Example: "  druppie-up network denied",
	}
	cmd.AddCommand(newNetworkDeniedCmd(a))
	return cli.Parent(cmd)
}

func newNetworkDeniedCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	var namespace string
	var follow bool
	cmd := &cobra.Command{
		Use:   "denied",
		Short: "Say which connections network policies refused, and what would allow them",
		Long: `denied lists the connections that were refused in the last hour: the pod whose policies refused it, the other
side and the port. Nothing connects to or from a pod of the platform or of a tenant unless a NetworkPolicy
names both ends, so a service that can't reach another is found here. The same refusal is told once a minute;
a flood of different ones isn't told whole.`,
		Example: `  druppie-up network denied
  druppie-up network denied --namespace drones --follow`,
		Args: cli.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := completeOptions(cmd, &opts.Options); err != nil {
				return err
			}
			return runNetworkDenied(cmd.Context(), opts, namespace, follow)
		},
	}
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "only of this namespace (default: all)")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with those to come; as JSON, one a line")
	cli.Complete(cmd, "namespace")
	nameFlag(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}

func runNetworkDenied(ctx context.Context, opts *options, namespace string, follow bool) error {
	out := opts.app.Out
	if follow {
		return bootstrap.Refusals(ctx, opts.Options, namespace, true, func(r bootstrap.Refusal) error {
			var err error
			if opts.format == formatJSON {
				err = json.NewEncoder(out).Encode(r)
			} else {
				_, err = fmt.Fprintf(out, "%s  %s/%s  %s\n", r.Last.Local().Format(time.TimeOnly), r.Namespace, r.Pod, r.Message)
			}
			return err
		})
	}
	all := []bootstrap.Refusal{}
	if err := bootstrap.Refusals(ctx, opts.Options, namespace, false, func(r bootstrap.Refusal) error {
		all = append(all, r)
		return nil
	}); err != nil {
		return err
	}
	if len(all) == 0 && opts.format == formatTable {
		_, err := fmt.Fprintln(out, "No connection was refused in the last hour.")
		return err
	}
	v := view{headers: []string{"last", "times", "pod", "what", "other side", "port"}}
	for _, r := range all {
		v.rows = append(v.rows, []string{
			r.Last.Local().Format(time.TimeOnly), strconv.Itoa(r.Count), r.Namespace + "/" + r.Pod, r.Direction, r.Peer, r.Port,
		})
	}
	return writeResult(out, opts.format, all, v)
}
