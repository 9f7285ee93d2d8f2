package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// nameFlag gives a command the flag that says which cluster is meant.
func nameFlag(cmd *cobra.Command, opts *bootstrap.Options) {
	cmd.Flags().StringVar(&opts.Name, "name", names.DefaultPlatform, "name of the cluster")
	cli.Complete(cmd, "name")
}

// platformFlags give a command the flags that say which running platform is meant: one of this machine, or one
// that somebody else made, to which a context of the user's kubeconfig leads.
func platformFlags(cmd *cobra.Command, opts *bootstrap.Options) {
	nameFlag(cmd, opts)
	cmd.Flags().StringVar(&opts.Context, "context", "", "context of your kubeconfig, for a platform that wasn't made on this machine")
	cli.Complete(cmd, "context")
	cmd.MarkFlagsMutuallyExclusive("name", "context")
}

// storeFlag gives a command the flag that says where images are kept.
func storeFlag(cmd *cobra.Command, opts *bootstrap.Options) {
	cmd.Flags().StringVar(&opts.StoreDir, "store", "", "folder of the image store (default: store in the cache folder)")
	_ = cmd.MarkFlagDirname("store")
}

// supplyFlags give a command the flags that say where images come from.
func supplyFlags(cmd *cobra.Command, opts *bootstrap.Options) {
	cli.Choice(cmd, &opts.Supply, "supply", "",
		"where images come from: pulled from registries, built from modules, or the first of these in reach", "auto", "registry", "modules")
	cmd.Flags().StringVar(&opts.RegistryMirror, "registry-mirror", "",
		"registry that holds all images under upstream's names, asked instead of upstream's registries")
	cli.Complete(cmd, "registry-mirror")
	cmd.Flags().BoolVar(&opts.Unpinned, "unpinned", false,
		"take what tags stand for, also where another digest is pinned: for a registry that holds rebuilt images")
}

// sizeFlags give a command the flags that say how large the cluster is.
func sizeFlags(cmd *cobra.Command, opts *bootstrap.Options) {
	cmd.Flags().IntVar(&opts.Workers, "workers", 0, "worker nodes beside the control plane")
	cmd.Flags().IntVar(&opts.GPUNodes, "gpu-nodes", 0, "worker nodes with simulated GPUs")
}

// portFlag gives a command the flag for the front door's port.
func portFlag(cmd *cobra.Command, opts *bootstrap.Options) {
	cmd.Flags().IntVar(&opts.Port, "port", 8443,
		"port on 127.0.0.1 for browsers; the default one moves when it is taken, a chosen one doesn't")
	cli.Complete(cmd, "port")
}

// refuseEmpty refuses flags that were given without a value: a variable that a script forgot to set
// must not mean the default.
func refuseEmpty(flags *pflag.FlagSet) error {
	var errs []error
	flags.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		if len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == "" }) {
			errs = append(errs, fmt.Errorf("--%s can't be empty", f.Name))
		}
	})
	return errors.Join(errs...)
}

// options are what most commands need.
type options struct {
	app    *app
	format string // of the result
	bootstrap.Options
}

// command finishes a command without arguments, whose options are checked before it runs.
func command(cmd *cobra.Command, opts *bootstrap.Options, run func(context.Context) error) *cobra.Command {
	cmd.Args = cli.Args()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := completeOptions(cmd, opts); err != nil {
			return err
		}
		return run(cmd.Context())
	}
	return cmd
}

// completeOptions has the library check all options before anything is changed.
func completeOptions(cmd *cobra.Command, opts *bootstrap.Options) (err error) {
	opts.PortChosen = cmd.Flags().Changed("port")
	if opts.PortChosen && opts.Port == 0 { // for the library zero is the default
		return ui.Usage(fmt.Errorf("--port can't be 0"))
	}
	if cmd.Flags().Changed("timeout") && opts.Timeout <= 0 {
		return ui.Usage(fmt.Errorf("--timeout must be more than zero, not %s", opts.Timeout))
	}
	*opts, err = opts.Complete()
	return err
}

// outputFlag gives a command with a result the flag that says how to write it.
func outputFlag(cmd *cobra.Command, format *string) {
	documentFlag(cmd, format, formatTable, formatJSON)
}

// documentFlag is outputFlag for results that are documents too; the first of the formats is the default.
func documentFlag(cmd *cobra.Command, format *string, formats ...string) {
	cli.Choice(cmd, format, "output", "o", "how to write the result", formats...)
}
