// Package promotion takes a release to the fleet repository, through Gitea: one
// identity proposes it as a pull request, another approves and merges it. It
// refuses to write to main itself, and the approver believes nothing that the
// pull request says: it works out what a promotion of the proven digest must
// contain, and compares.
package promotion

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/review"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/internal/giteaclient"
)

// Client reaches Gitea as one identity.
type Client struct {
	Gitea       string // https://gitea.gitea.svc.cluster.local:3000
	Fleet       string // full name of the fleet repository
	CA          credentials.CA
	Credentials credentials.Basic
}

func (c Client) api(ctx context.Context) (*giteaclient.Client, error) {
	return c.apiAs(ctx, giteaclient.Token(c.Credentials.Password))
}

// apiAs asks as whoever has the token; nil: as anybody.
func (c Client) apiAs(ctx context.Context, token func() (string, error)) (*giteaclient.Client, error) {
	transport, err := c.CA.Transport()
	if err != nil {
		return nil, err
	}
	return giteaclient.New(ctx, giteaclient.Options{
		URL: c.Gitea, Token: token, HTTP: &http.Client{Transport: transport, Timeout: time.Minute},
	})
}

// fleetRemote is the fleet repository, read and written as this identity.
func (c Client) fleetRemote() (source.Remote, error) {
	u, err := source.URL(c.Gitea, c.Fleet)
	return source.Remote{URL: u, CA: c.CA, Auth: &c.Credentials}, err
}

// serviceRemote is a service's repository. Anybody may read it, so no credentials go there.
func (c Client) serviceRemote(repository string) (source.Remote, error) {
	u, err := source.URL(c.Gitea, repository)
	return source.Remote{URL: u, CA: c.CA}, err
}

// reviews are those of a service.
func (c Client) reviews(ctx context.Context, repository string) (review.Reviews, error) {
	remote, err := c.serviceRemote(repository)
	if err != nil {
		return review.Reviews{}, err
	}
	api, err := c.apiAs(ctx, nil)
	return review.Reviews{Gitea: api, Remote: remote, Repository: repository}, err
}

// deployment reads a service's deploy/ folder as it is at a commit.
func (c Client) deployment(ctx context.Context, repository, hash string) (fleet.Files, error) {
	remote, err := c.serviceRemote(repository)
	if err != nil {
		return nil, err
	}
	commit, err := source.Commit(ctx, remote, hash)
	if err != nil {
		return nil, err
	}
	return fleet.ReadDeploy(commit)
}

func split(fullName string) (owner, name string) {
	owner, name, _ = strings.Cut(fullName, "/")
	return owner, name
}

func short(hash string) string {
	hash = strings.TrimPrefix(hash, "sha256:")
	return hash[:min(12, len(hash))]
}

// branch is where a release is proposed. Each has its own: what one run has proposed, another mustn't replace while
// it is being merged. fleet lets nobody delete branches, so they stay.
func branch(s fleet.Service, r fleet.Release) string {
	return path.Join("promote", s.Tenant, s.Name()+"-"+short(r.Commit))
}

func title(s fleet.Service, r fleet.Release) string {
	return fmt.Sprintf("%s: %s from commit %s", s.Dir(), short(r.Digest), short(r.Commit))
}

func body(s fleet.Service, r fleet.Release, run string) string {
	return fmt.Sprintf("Service: %s\nCommit: %s\nImage: %s@%s\nPipeline run: %s\n",
		s.Repository, r.Commit, s.Image, r.Digest, run)
}
