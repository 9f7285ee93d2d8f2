package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/promotion"
)

// promoteFlags are what promote and approve have in common.
func promoteFlags(cmd *cobra.Command, s *step, fleetRepo, tenant *string) {
	s.flags(cmd, "ca-file", "credentials", "forge", "repository")
	cmd.Flags().StringVar(fleetRepo, "fleet", "druppie/fleet", "full name of the repository that Flux follows")
	require(cmd, tenant, "tenant", "namespace that the service runs in")
	s.flags(cmd, "revision", "run")
}

func (s *step) promotionClient(fleetRepo string) promotion.Client {
	return promotion.Client{Gitea: s.gitea, Fleet: fleetRepo, CA: s.ca, Credentials: *s.login}
}

func newPromoteCmd() *cobra.Command {
	var s step
	var fleetRepo, tenant, numberResult, commitResult string
	cmd := newStep(&s, "promote", "Propose a release in the fleet repository", func(ctx context.Context, out io.Writer) error {
		service := fleet.Service{Repository: s.repository, Tenant: tenant, Image: s.digest.Context().Name()}
		release := fleet.Release{Commit: s.revision, Digest: s.digest.DigestStr()}
		pr, err := s.promotionClient(fleetRepo).Promote(ctx, service, release, s.run)
		if err != nil {
			return err
		}
		if pr.Number == 0 {
			fmt.Fprintln(out, "nothing to promote:", pr.Reason)
		} else {
			fmt.Fprintf(out, "pull request %d of %s: %s\n", pr.Number, fleetRepo, pr.URL)
		}
		return errors.Join(writeResult(numberResult, strconv.FormatInt(pr.Number, 10)), writeResult(commitResult, s.revision))
	})
	promoteFlags(cmd, &s, &fleetRepo, &tenant)
	s.flags(cmd, "image")
	cmd.Flags().StringVar(&numberResult, "pull-request-result", "", "file to write the pull request's number to (0: nothing to promote)")
	cmd.Flags().StringVar(&commitResult, "commit-result", "", "file to write the commit to")
	return cmd
}
