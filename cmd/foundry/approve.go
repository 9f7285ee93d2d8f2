package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/image"
	"github.com/druppie/druppie-up/cmd/foundry/internal/pipelinerun"
	"github.com/druppie/druppie-up/internal/ui"
)

func newApproveCmd() *cobra.Command {
	var s step
	var number int64
	var fleetRepo, tenant, namespace, imageRepository, mergedResult string
	cmd := newStep(&s, "approve", "Check that a promotion is proven, then approve and merge it", func(ctx context.Context, out io.Writer) error {
		client, err := pipelinerun.InCluster()
		if err != nil {
			return err
		}
		proof, err := pipelinerun.Verify(ctx, client, pipelinerun.Expected{
			Namespace: namespace, Run: s.run, Repository: s.repository, Revision: s.revision,
		})
		if err != nil {
			return ui.WithHint(fmt.Errorf("promotion refused: the pipeline run doesn't prove it: %w", err),
				"look at the run's tasks: tkn pipelinerun describe "+s.run+" -n "+namespace)
		}
		fmt.Fprintf(out, "passed in %s: %v\n", s.run, proof.Tasks)
		digest, err := image.Digest(imageRepository + "@" + proof.Digest)
		if err != nil {
			return err
		}
		if err := s.verify(ctx, digest, s.annotations()); err != nil {
			return fmt.Errorf("promotion refused: %w", err)
		}
		fmt.Fprintln(out, "signed by the foundry:", digest)
		service := fleet.Service{Repository: s.repository, Tenant: tenant, Image: imageRepository}
		merged, err := s.promotionClient(fleetRepo).Approve(ctx, number, service, fleet.Release{Commit: s.revision, Digest: proof.Digest})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "pull request %d of %s is merged as %s\n", number, fleetRepo, merged)
		return writeResult(mergedResult, merged)
	})
	approve := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if number == 0 {
			fmt.Fprintln(cmd.OutOrStdout(), "nothing to approve: there was nothing to promote")
			return writeResult(mergedResult, "")
		}
		return approve(cmd, args)
	}
	promoteFlags(cmd, &s, &fleetRepo, &tenant)
	cmd.Flags().Int64Var(&number, "pull-request", 0, "number of the pull request (0: nothing to approve)")
	_ = cmd.MarkFlagRequired("pull-request")
	cmd.Flags().StringVar(&namespace, "namespace", "foundry", "namespace of the pipeline run")
	require(cmd, &imageRepository, "image-repository", "repository of the service's image")
	s.flags(cmd, "key")
	cmd.Flags().StringVar(&mergedResult, "merged-result", "", "file to write the merge commit to")
	return cmd
}
