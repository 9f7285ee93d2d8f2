package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/spf13/cobra"
)

func newSupplyCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "supply",
		Short: "Look at and fill the store of images that clusters live on",
		Long: `The store is a folder with every image and upstream manifest that the platform needs. It outlives
clusters: nodes pull from it alone, and never from outside. supply list says what is in it and what is
missing; fill gets what is missing; verify proves that it is complete and undamaged; lock pins upstream's
digests.`,
		Example: `  druppie-up supply list
  druppie-up supply fill`,
	}
	cmd.AddCommand(newSupplyListCmd(a), newSupplyFillCmd(a), newSupplyVerifyCmd(a), newSupplyLockCmd(a))
	return cli.Parent(cmd)
}

func newSupplyListCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "list",
		Short: "List what the platform needs, and what of it the store holds",
		Example: `  druppie-up supply list
  druppie-up supply list -o json | jq -r '.[] | select(.state!="there").ref'`,
	}, &opts.Options, func(ctx context.Context) error {
		items, err := bootstrap.SupplyList(ctx, opts.Options)
		if err != nil {
			return err
		}
		return writeResult(opts.app.Out, opts.format, items, supplyView(items))
	})
	storeFlag(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	return cmd
}

func newSupplyFillCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "fill",
		Short: "Get everything that the store lacks",
		Long: `fill pulls or builds what the store lacks, in the order in which up needs it. It can be stopped at
any moment; run again, it goes on with what is still missing.`,
		Example: `  druppie-up supply fill
  druppie-up supply fill --supply modules`,
	}, &opts.Options, func(ctx context.Context) error { return bootstrap.SupplyFill(ctx, opts.Options, a.rep) })
	storeFlag(cmd, &opts.Options)
	supplyFlags(cmd, &opts.Options)
	return cmd
}

func newSupplyVerifyCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	var rebuild string
	cmd := command(&cobra.Command{
		Use:   "verify",
		Short: "Prove that the store is complete for this build and undamaged",
		Long: `verify hashes everything in the store and compares it with what this build of druppie-up needs. It
fails when something is missing, stale or damaged, and names it. With --rebuild it builds one image
anew, elsewhere, and shows that the bytes are the same.`,
		Example: `  druppie-up supply verify
  druppie-up supply verify --rebuild docker.io/library/caddy:2.10.0`,
	}, &opts.Options, func(ctx context.Context) error { return bootstrap.SupplyVerify(ctx, opts.Options, rebuild, a.rep) })
	storeFlag(cmd, &opts.Options)
	cmd.Flags().StringVar(&rebuild, "rebuild", "", "image to build anew and compare")
	return cmd
}

func newSupplyLockCmd(a *app) *cobra.Command {
	opts := &options{app: a}
	cmd := command(&cobra.Command{
		Use:   "lock",
		Short: "Ask upstream's registries for the digests that aren't pinned yet",
		Long: `lock needs a network that reaches upstream's registries. It prints the digest of every image that
component.yaml doesn't pin, says which couldn't be asked, and changes nothing: pin by hand what you
have checked.`,
		Example: `  druppie-up supply lock
  druppie-up supply lock -o json`,
	}, &opts.Options, func(ctx context.Context) error {
		items, err := bootstrap.SupplyLock(ctx, opts.Options)
		if err != nil {
			return err
		}
		unpinned := 0
		for _, i := range items {
			if i.Pinned == "" && i.Found == "" {
				unpinned++
			}
		}
		err = writeResult(opts.app.Out, opts.format, items, lockView(items))
		if unpinned > 0 {
			err = errors.Join(err, ui.WithHint(fmt.Errorf("%d images are not pinned, and their registries couldn't be asked", unpinned),
				"run it where upstream's registries can be reached"))
		}
		return err
	})
	cmd.Flags().StringVar(&opts.RegistryMirror, "registry-mirror", "", "ask this registry instead of upstream's")
	outputFlag(cmd, &opts.format)
	return cmd
}
