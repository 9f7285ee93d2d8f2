package gitea

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	sdk "code.gitea.io/sdk/gitea"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// emptyTenant makes the tenant's Kustomization ready before anything was
// promoted.
const emptyTenant = `# Promotions add services here, each in a folder of its own.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: []
`

// listing is the file of the fleet that lists a tenant's services.
func listing(t tenant.Tenant) string { return "tenants/" + t.Name + "/kustomization.yaml" }

// ensureFleet gives each tenant its folder in the fleet. Nobody may push there, so what comes after the repository's
// first commits comes as everything does: one account proposes it, another approves and merges it.
func (s *setup) ensureFleet(ctx context.Context) error {
	for _, t := range s.tenants {
		_, resp, err := s.api.GetContents(names.Organisation, names.RepoFleet, names.MainBranch, listing(t))
		if giteaclient.Status(resp) == http.StatusNotFound {
			err = s.proposeTenant(ctx, t)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return nil
}

// proposeTenant may be killed at any point and run again: what it left open it closes when it has brought its own.
// Others than the installer hold the token that it proposes with, so only the very commit that it made is approved and
// merged, and nothing that is there already is gone on with.
func (s *setup) proposeTenant(ctx context.Context, t tenant.Tenant) error {
	proposer, err := s.asIdentity(ctx, names.UserFoundry)
	if err != nil {
		return err
	}
	approver, err := s.asIdentity(ctx, names.UserFoundryReviewer)
	if err != nil {
		return err
	}
	title := "Add tenant " + t.Name
	branch := "tenant/" + t.Name + "-" + strings.ToLower(rand.Text())
	made, _, err := proposer.CreateFile(names.Organisation, names.RepoFleet, listing(t), sdk.CreateFileOptions{
		FileOptions: sdk.FileOptions{Message: title, BranchName: names.MainBranch, NewBranchName: branch},
		Content:     base64.StdEncoding.EncodeToString([]byte(emptyTenant)),
	})
	if err != nil {
		return fmt.Errorf("branch %s: %w", branch, err)
	}
	pr, _, err := proposer.CreatePullRequest(names.Organisation, names.RepoFleet, sdk.CreatePullRequestOption{
		Head: branch, Base: names.MainBranch, Title: title,
	})
	if err != nil {
		return fmt.Errorf("propose branch %s: %w", branch, err)
	}
	head := made.Commit.SHA
	if _, _, err := approver.CreatePullReview(names.Organisation, names.RepoFleet, pr.Index, sdk.CreatePullReviewOptions{
		State: sdk.ReviewStateApproved, CommitID: head, Body: "An empty folder for a new tenant.",
	}); err != nil {
		return fmt.Errorf("approve pull request %d: %w", pr.Index, err)
	}
	if err := approver.Merge(ctx, names.Organisation, names.RepoFleet, pr.Index, giteaclient.Merge{Head: head, Title: title}); err != nil {
		return err
	}
	return closeOthers(proposer, title)
}

// closeOthers closes the open pull requests of that title: a run that was killed left them.
func closeOthers(c *giteaclient.Client, title string) error {
	open, _, err := c.ListRepoPullRequests(names.Organisation, names.RepoFleet, sdk.ListPullRequestsOptions{
		ListOptions: sdk.ListOptions{Page: 1, PageSize: 50}, State: sdk.StateOpen, Sort: "recentupdate",
	})
	if err != nil {
		return fmt.Errorf("look for what an earlier run left: %w", err)
	}
	closed := sdk.StateClosed
	for _, pr := range open {
		if pr.Title != title {
			continue
		}
		if _, _, err := c.EditPullRequest(names.Organisation, names.RepoFleet, pr.Index, sdk.EditPullRequestOption{State: &closed}); err != nil {
			return fmt.Errorf("close pull request %d: %w", pr.Index, err)
		}
	}
	return nil
}

// asIdentity returns a client that works with the token of one of our accounts.
func (s *setup) asIdentity(ctx context.Context, user string) (*giteaclient.Client, error) {
	data, err := identityData(ctx, s, user)
	if err != nil {
		return nil, err
	}
	return s.with(ctx, string(data["token"]))
}

// ServiceRepositories names the repositories of the organisation that aren't the platform's own.
func ServiceRepositories(ctx context.Context, c client.Client, endpoint frontdoor.Endpoint) ([]string, error) {
	httpClient, err := endpoint.Client()
	if err != nil {
		return nil, err
	}
	s := &setup{Client: c, endpoint: endpoint, http: httpClient}
	api, err := s.asIdentity(ctx, names.UserAdmin)
	if err != nil {
		return nil, err
	}
	var all []string
	for page := 1; ; page++ {
		list, _, err := api.ListOrgRepos(names.Organisation, sdk.ListOrgReposOptions{ListOptions: sdk.ListOptions{Page: page, PageSize: 50}})
		if err != nil {
			return nil, fmt.Errorf("list the repositories of %s: %w", names.Organisation, err)
		}
		for _, r := range list {
			if names.IsService(r.Name) {
				all = append(all, r.Name)
			}
		}
		if len(list) == 0 {
			return all, nil
		}
	}
}
