package gitea

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// repository is what a repository must be like.
type repository struct {
	name        string
	description string
	private     bool
	// Who may do what, besides the organisation's owner. Approving needs no
	// more than reading: who may write could approve what it pushed itself onto
	// someone else's branch.
	collaborators map[string]sdk.AccessMode
	protection    []protection
	seed          map[string]string // files that the first commits bring
}

func repositories() []repository {
	return []repository{
		{
			name:        names.RepoPlatform,
			description: "What runs on the platform itself: rendered by the installer, applied by Flux.",
			private:     true,
			collaborators: map[string]sdk.AccessMode{
				names.UserInstaller: sdk.AccessModeWrite,
				names.UserFlux:      sdk.AccessModeRead,
				names.UserTrace:     sdk.AccessModeRead,
			},
			protection: []protection{onlyPushedBy(names.MainBranch, names.UserInstaller)},
		},
		{
			name:        names.RepoFleet,
			description: "Which image of which service runs where: changed by promotions, applied by Flux.",
			private:     true,
			collaborators: map[string]sdk.AccessMode{
				names.UserFoundry: sdk.AccessModeWrite,
				// Merging needs write access; the rule for other branches keeps
				// it from pushing.
				names.UserFoundryReviewer: sdk.AccessModeWrite,
				names.UserFlux:            sdk.AccessModeRead,
				names.UserTrace:           sdk.AccessModeRead,
			},
			protection: []protection{
				reviewed(names.MainBranch, []string{names.UserFoundryReviewer}, []string{names.UserFoundryReviewer}),
				proposedBy(names.UserFoundry),
			},
			seed: map[string]string{"tenants/drones/kustomization.yaml": emptyTenant},
		},
		{
			name:        names.RepoDroneService,
			description: "The sample service: plans inspection flights along dikes.",
			collaborators: map[string]sdk.AccessMode{
				names.UserBuilder:  sdk.AccessModeWrite,
				names.UserReviewer: sdk.AccessModeWrite,
				names.UserFoundry:  sdk.AccessModeRead,
			},
			protection: []protection{
				// Gitea dismisses stale approvals in the background: an author who
				// may merge could push and merge before that. So who approves
				// merges.
				reviewed(names.MainBranch, []string{names.UserReviewer}, []string{names.UserReviewer}),
				proposedBy(names.UserBuilder),
			},
		},
		{
			name:          names.RepoTrace,
			description:   "Checkpoints of the evidence log, pushed by the trace alone: who keeps a copy can tell if the log was rewritten.",
			collaborators: map[string]sdk.AccessMode{names.UserTrace: sdk.AccessModeWrite},
			protection:    []protection{onlyPushedBy(names.MainBranch, names.UserTrace)},
		},
	}
}

// emptyTenant makes the tenant's Kustomization ready before anything was
// promoted.
const emptyTenant = `# Promotions add services here, each in a folder of its own.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: []
`

func (s *setup) ensureRepositories(ctx context.Context) error {
	for _, r := range repositories() {
		if err := s.ensureRepository(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

func (s *setup) ensureRepository(ctx context.Context, r repository) error {
	_, resp, err := s.api.GetRepo(names.Organisation, r.name)
	if giteaclient.Status(resp) == http.StatusNotFound {
		_, _, err = s.api.CreateOrgRepo(names.Organisation, sdk.CreateRepoOption{
			Name: r.name, Description: r.description, Private: r.private,
			// A first commit, so that there is a branch to protect.
			AutoInit: true, DefaultBranch: names.MainBranch, Readme: "Default",
		})
	}
	if err != nil {
		return err
	}
	for _, user := range slices.Sorted(maps.Keys(r.collaborators)) {
		if err := s.ensureCollaborator(r.name, user, r.collaborators[user]); err != nil {
			return fmt.Errorf("access of %s: %w", user, err)
		}
	}
	if err := s.ensureSeed(ctx, r); err != nil {
		return fmt.Errorf("first files: %w", err)
	}
	return s.ensureProtection(ctx, r.name, r.protection)
}

func (s *setup) ensureCollaborator(repo, user string, want sdk.AccessMode) error {
	is, _, err := s.api.IsCollaborator(names.Organisation, repo, user)
	if err != nil {
		return err
	}
	if is {
		have, _, err := s.api.CollaboratorPermission(names.Organisation, repo, user)
		if err != nil {
			return err
		}
		if have.Permission == want {
			return nil
		}
	}
	_, err = s.api.AddCollaborator(names.Organisation, repo, user, sdk.AddCollaboratorOption{Permission: &want})
	return err
}

// ensureSeed adds files that aren't there. It comes before protection, and only
// once protection stands is the repository taken to be seeded: a file that a
// later change took away stays away.
func (s *setup) ensureSeed(ctx context.Context, r repository) error {
	if len(r.seed) == 0 {
		return nil
	}
	rules, err := s.protections(ctx, r.name)
	if err != nil || len(rules) > 0 {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(r.seed)) {
		_, resp, err := s.api.GetContents(names.Organisation, r.name, names.MainBranch, path)
		if giteaclient.Status(resp) != http.StatusNotFound {
			if err != nil {
				return err
			}
			continue
		}
		if _, _, err := s.api.CreateFile(names.Organisation, r.name, path, sdk.CreateFileOptions{
			FileOptions: sdk.FileOptions{Message: "Add " + path, BranchName: names.MainBranch},
			Content:     base64.StdEncoding.EncodeToString([]byte(r.seed[path])),
		}); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
