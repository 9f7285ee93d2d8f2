package gitea

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"

	sdk "code.gitea.io/sdk/gitea"
	"golang.org/x/sync/errgroup"

	"github.com/druppie/druppie-up/bootstrap/tenant"
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

func repositories(tenants []tenant.Tenant) []repository {
	folders := map[string]string{}
	for _, t := range tenants {
		folders[listing(t)] = emptyTenant
	}
	all := []repository{
		{
			name:        names.RepoPlatform,
			description: "What runs on the platform itself: rendered by the installer, applied by Flux.",
			private:     true,
			collaborators: map[string]sdk.AccessMode{
				names.UserInstaller: sdk.AccessModeWrite,
				names.UserFlux:      sdk.AccessModeRead,
				names.UserTrace:     sdk.AccessModeRead,
			},
			protection: []protection{pushOnlyBy(names.MainBranch, names.UserInstaller)},
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
				requireReview(names.MainBranch, []string{names.UserFoundryReviewer}, []string{names.UserFoundryReviewer}),
				pullRequestsBy(names.UserFoundry),
				noRefNames(),
			},
			seed: folders,
		},
		{
			name:          names.RepoTrace,
			description:   "Checkpoints of the evidence log, pushed by the trace alone: who keeps a copy can tell if the log was rewritten.",
			collaborators: map[string]sdk.AccessMode{names.UserTrace: sdk.AccessModeWrite},
			protection:    []protection{pushOnlyBy(names.MainBranch, names.UserTrace)},
		},
	}
	for _, t := range tenants {
		for _, name := range t.Services {
			all = append(all, service(name, t.Name))
		}
	}
	return all
}

// descriptions are those of the sample services.
var descriptions = map[string]string{
	names.RepoDroneService: "The sample service: plans inspection flights along dikes.",
	names.RepoLevelService: "A second service: says whether a water level is as it should be.",
}

// service is a repository that the foundry builds from.
func service(name, tenant string) repository {
	return repository{
		name: name, description: cmp.Or(descriptions[name], "A service of the tenant "+tenant+"."),
		collaborators: map[string]sdk.AccessMode{
			names.UserBuilder:  sdk.AccessModeWrite,
			names.UserReviewer: sdk.AccessModeWrite,
			names.UserFoundry:  sdk.AccessModeRead,
		},
		protection: []protection{
			// Gitea dismisses stale approvals in the background: an author who
			// may merge could push and merge before that. So who approves
			// merges.
			requireReview(names.MainBranch, []string{names.UserReviewer}, []string{names.UserReviewer}),
			pullRequestsBy(names.UserBuilder),
			noRefNames(),
		},
	}
}

func (s *setup) ensureRepositories(ctx context.Context) error {
	var g errgroup.Group
	for _, r := range repositories(s.tenants) {
		g.Go(func() error {
			if err := s.ensureRepository(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			return nil
		})
	}
	return g.Wait()
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
	if err := s.ensureSquash(r.name); err != nil {
		return fmt.Errorf("how pull requests are merged: %w", err)
	}
	if err := s.ensureCollaborators(r); err != nil {
		return fmt.Errorf("collaborators: %w", err)
	}
	rules, err := s.protections(ctx, r.name)
	if err != nil {
		return err
	}
	// The files come before protection: only an unprotected repository is taken to
	// lack them, so that a file that a later change removed stays away.
	if len(rules) == 0 {
		if err := s.addFiles(r); err != nil {
			return fmt.Errorf("first files: %w", err)
		}
	}
	if err := s.ensureProtection(ctx, r.name, rules, r.protection); err != nil {
		return err
	}
	return s.ensureTagProtection(ctx, r.name, tagsOnlyBy(names.UserAdmin))
}

// ensureSquash lets a pull request become one commit of main and nothing else, so that every commit of main can be
// held to what was approved.
func (s *setup) ensureSquash(repo string) error {
	yes, no, squash := true, false, sdk.MergeStyleSquash
	_, _, err := s.api.EditRepo(names.Organisation, repo, sdk.EditRepoOption{
		HasPullRequests: &yes, AllowSquash: &yes, DefaultMergeStyle: &squash,
		AllowMerge: &no, AllowRebase: &no, AllowRebaseMerge: &no, AllowFastForwardOnlyMerge: &no, AllowManualMerge: &no, AutodetectManualMerge: &no,
	})
	return err
}

func (s *setup) ensureCollaborators(r repository) error {
	list, _, err := s.api.ListCollaborators(names.Organisation, r.name, sdk.ListCollaboratorsOptions{
		ListOptions: sdk.ListOptions{Page: 1, PageSize: 50},
	})
	if err != nil {
		return err
	}
	for _, user := range slices.Sorted(maps.Keys(r.collaborators)) {
		want := r.collaborators[user]
		if slices.ContainsFunc(list, func(u *sdk.User) bool { return u.UserName == user }) {
			have, _, err := s.api.CollaboratorPermission(names.Organisation, r.name, user)
			if err != nil {
				return err
			}
			if have.Permission == want {
				continue
			}
		}
		if _, err := s.api.AddCollaborator(names.Organisation, r.name, user, sdk.AddCollaboratorOption{Permission: &want}); err != nil {
			return fmt.Errorf("%s: %w", user, err)
		}
	}
	return nil
}

// addFiles commits the files that aren't there.
func (s *setup) addFiles(r repository) error {
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
