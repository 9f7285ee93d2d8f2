package main

import (
	"context"
	"errors"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
)

func newOnboardCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	var services []string
	cmd := &cobra.Command{
		Use:   "onboard TENANT...",
		Short: "Give tenants their namespaces, and their services repositories",
		Long: `onboard gives a running platform more tenants: each gets a namespace with limits that the policies guard,
the account that Flux applies its folder of the fleet as, and for each service a protected repository that
the foundry builds when something is merged. A tenant that is there already gets the services that it lacks.
Run it again after a failure or an interrupt: it goes on where it stopped. What else of the platform isn't as
this program would have it, it mends, as "druppie-up up" does. Nothing takes a tenant away again but
"druppie-up down".`,
		Example: `  druppie-up onboard water
  druppie-up onboard water --service pump-service --service lock-service
  druppie-up onboard conformance-1 conformance-2`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && len(services) > 0 {
				return ui.Usage(errors.New("--service is for one tenant: which of these would get it isn't said"))
			}
			if err := completeOptions(cmd, &opts.Options); err != nil {
				return err
			}
			var add []tenant.Tenant
			for _, name := range args {
				add = append(add, tenant.Tenant{Name: name, Services: services})
			}
			return runOnboard(cmd.Context(), opts, add)
		},
	}
	cmd.Flags().StringArrayVar(&services, "service", nil, "name of a service and its repository, once for each (default: TENANT-service)")
	cli.Complete(cmd, "service")
	nameFlag(cmd, &opts.Options)
	storeFlag(cmd, &opts.Options)
	supplyFlags(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}

func runOnboard(ctx context.Context, opts *options, add []tenant.Tenant) error {
	done, err := bootstrap.Onboard(ctx, opts.Options, opts.app.rep, add...)
	if err != nil {
		return err
	}
	v := view{headers: []string{"tenant", "what", "where"}}
	for _, t := range done {
		v.rows = append(v.rows, []string{t.Name, "namespace", t.Name}, []string{t.Name, "fleet", t.Fleet})
		for _, r := range t.Repositories {
			v.rows = append(v.rows, []string{t.Name, r.Title, r.Address})
		}
	}
	return writeResult(opts.app.Out, opts.format, done, v)
}
