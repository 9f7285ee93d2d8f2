package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/druppie/druppie-up/cmd/foundry/internal/evidence"
	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/forge"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/seal"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/internal/ui"
)

// release is what promote and approve have in common.
type release struct {
	caFile, credentials, address, fleetRepo string
	service                                 fleet.Service
	revision, run                           string
}

func (r *release) flags(f *pflag.FlagSet) {
	caFlag(f, &r.caFile)
	credentialsFlag(f, &r.credentials, "token")
	forgeFlag(f, &r.address)
	f.StringVar(&r.fleetRepo, "fleet", "druppie/fleet", "full name of the repository that Flux follows")
	f.StringVar(&r.service.Repository, "repository", "", "full name of the service's repository")
	f.StringVar(&r.service.Tenant, "tenant", "", "namespace that the service runs in")
	f.StringVar(&r.revision, "revision", "", "full hash of the service's commit")
	f.StringVar(&r.run, "run", "", "name of the pipeline run")
}

func (r *release) forge() (forge.Forge, error) {
	ca, err := trust.ReadCA(r.caFile)
	if err != nil {
		return forge.Forge{}, err
	}
	creds, err := trust.ReadCredentials(r.credentials, "token")
	if err != nil {
		return forge.Forge{}, err
	}
	return forge.Forge{Address: r.address, Fleet: r.fleetRepo, CA: ca, Credentials: creds}, nil
}

func promoteCommand() *cobra.Command {
	var r release
	var ref, numberResult, commitResult string
	cmd := &cobra.Command{
		Use:   "promote",
		Short: "Propose a release in the fleet repository",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			digest, err := image.Digest(ref)
			if err != nil {
				return ui.Usage(err)
			}
			r.service.Image = digest.Context().Name()
			rel := fleet.Release{Commit: r.revision, Digest: digest.DigestStr()}
			if err := rel.Check(); err != nil {
				return ui.Usage(err)
			}
			f, err := r.forge()
			if err != nil {
				return err
			}
			p, err := f.Promote(cmd.Context(), r.service, rel, r.run)
			if err != nil {
				return explain(err)
			}
			if p.Number == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing to promote:", p.Why)
			} else {
				fmt.Fprintf(cmd.OutOrStdout(), "pull request %d of %s: %s\n", p.Number, r.fleetRepo, p.URL)
			}
			return errors.Join(
				writeResult(numberResult, strconv.FormatInt(p.Number, 10)),
				writeResult(commitResult, rel.Commit))
		},
	}
	r.flags(cmd.Flags())
	cmd.Flags().StringVar(&ref, "image", "", "image by digest")
	cmd.Flags().StringVar(&numberResult, "pull-request-result", "", "file to write the pull request's number to (0: nothing to promote)")
	cmd.Flags().StringVar(&commitResult, "commit-result", "", "file to write the commit to")
	return required(cmd, "ca-file", "credentials", "forge", "repository", "tenant", "revision", "run", "image")
}

func approveCommand() *cobra.Command {
	var r release
	var number int64
	var namespace, keyFile, mergedResult string
	cmd := &cobra.Command{
		Use:   "approve",
		Short: "Check that a promotion is proven, then approve and merge it",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			if number == 0 {
				fmt.Fprintln(out, "nothing to approve: there was nothing to promote")
				return writeResult(mergedResult, "")
			}
			f, err := r.forge()
			if err != nil {
				return err
			}
			tekton, err := evidence.InCluster()
			if err != nil {
				return err
			}
			proof, err := evidence.Ask(ctx, tekton, evidence.Question{
				Namespace: namespace, Run: r.run, Repository: r.service.Repository, Revision: r.revision,
			})
			if err != nil {
				return ui.WithHint(fmt.Errorf("promotion refused: the pipeline run doesn't prove it: %w", err),
					"look at the run's tasks: tkn pipelinerun describe "+r.run+" -n "+namespace)
			}
			fmt.Fprintf(out, "passed in %s: %v\n", r.run, proof.Gates)
			digest, err := image.Digest(r.service.Image + "@" + proof.Digest)
			if err != nil {
				return err
			}
			claims := seal.Claims{claimCommit: r.revision, claimRepository: r.service.Repository}
			if err := verify(ctx, image.Access{CA: f.CA}, digest, keyFile, claims); err != nil {
				return explain(fmt.Errorf("promotion refused: %w", err))
			}
			fmt.Fprintln(out, "signed by the foundry:", digest)
			merged, err := f.Approve(ctx, number, r.service, fleet.Release{Commit: r.revision, Digest: proof.Digest})
			if err != nil {
				return explain(err)
			}
			fmt.Fprintf(out, "pull request %d of %s is merged as %s\n", number, r.fleetRepo, merged)
			return writeResult(mergedResult, merged)
		},
	}
	f := cmd.Flags()
	r.flags(f)
	f.Int64Var(&number, "pull-request", 0, "number of the pull request (0: nothing to approve)")
	f.StringVar(&namespace, "namespace", "foundry", "namespace of the pipeline run")
	f.StringVar(&r.service.Image, "image-repository", "", "repository of the service's image")
	f.StringVar(&keyFile, "key", "", "file with the foundry's public key")
	f.StringVar(&mergedResult, "merged-result", "", "file to write the merge commit to")
	return required(cmd, "ca-file", "credentials", "forge", "repository", "tenant", "revision", "run", "image-repository", "key", "pull-request")
}

// Claims that the sign step makes and the approver asks for: without them a
// signature would say nothing about where the image came from.
const (
	claimCommit     = fleet.CommitAnnotation
	claimRepository = fleet.RepositoryAnnotation
)

func verify(ctx context.Context, access image.Access, ref name.Digest, keyFile string, claims seal.Claims) error {
	public, err := os.ReadFile(keyFile)
	if err != nil {
		return fmt.Errorf("read the public key: %w", err)
	}
	key, err := seal.Verifier(public)
	if err != nil {
		return err
	}
	opts, err := access.Options(ctx)
	if err != nil {
		return err
	}
	return seal.Verify(ctx, ref, key, claims, opts...)
}
