// Package forge takes a release to the fleet repository, through Gitea: one
// identity proposes it as a pull request, another approves and merges it. It
// refuses to write to main itself, and the approver believes nothing that the
// pull request says: it works out what a promotion of the proven digest must
// contain, and compares.
package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
)

// main is the branch that Flux follows, and that services are released from.
const mainBranch = "main"

// Forge is Gitea as one identity sees it.
type Forge struct {
	Address     string // https://gitea.gitea.svc.cluster.local:3000
	Fleet       string // full name of the fleet repository
	CA          trust.CA
	Credentials trust.Credentials
}

func (f Forge) client(ctx context.Context) (*gitea.Client, error) {
	rt, err := f.CA.Transport()
	if err != nil {
		return nil, err
	}
	c, err := gitea.NewClient(f.Address,
		gitea.SetContext(ctx), gitea.SetToken(f.Credentials.Secret),
		// Not asked for its version: a token with few scopes may not.
		gitea.SetGiteaVersion(""),
		gitea.SetHTTPClient(&http.Client{Transport: rt, Timeout: time.Minute}))
	if err != nil {
		return nil, fmt.Errorf("reach Gitea at %s: %w", f.Address, err)
	}
	return c, nil
}

// fleetOrigin is the fleet repository, read and written as this identity.
func (f Forge) fleetOrigin() (source.Origin, error) {
	u, err := source.URL(f.Address, f.Fleet)
	if err != nil {
		return source.Origin{}, err
	}
	return source.Origin{URL: u, CA: f.CA, Auth: &f.Credentials}, nil
}

// deployment reads a service's deploy/ folder as it is at a commit. Anybody may
// read a service's repository, so no credentials go there.
func (f Forge) deployment(ctx context.Context, repository, commit string) (fleet.Files, error) {
	u, err := source.URL(f.Address, repository)
	if err != nil {
		return nil, err
	}
	c, err := source.Commit(ctx, source.Origin{URL: u, CA: f.CA}, commit)
	if err != nil {
		return nil, err
	}
	return fleet.Deploy(c)
}

// newer says whether commit b has history that a lacks. Only commits that are on
// a branch of the repository can be compared.
func newer(c *gitea.Client, repository, a, b string) (bool, error) {
	owner, name := split(repository)
	cmp, _, err := c.CompareCommits(owner, name, a, b)
	if err != nil {
		return false, fmt.Errorf("compare %s with %s in %s: %w", a, b, repository, err)
	}
	return cmp.TotalCommits > 0, nil
}

func split(fullName string) (owner, name string) {
	owner, name, _ = strings.Cut(fullName, "/")
	return owner, name
}

func short(hash string) string {
	hash = strings.TrimPrefix(hash, "sha256:")
	if len(hash) > 12 {
		return hash[:12]
	}
	return hash
}

// branch is where promotions of a service are proposed. There is one for each
// service: fleet lets nobody delete branches, so each release replaces the last.
func branch(s fleet.Service) string {
	return path.Join("promote", s.Tenant, s.Name())
}

func treeFiles(c *object.Commit) (fleet.Files, error) {
	tree, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("tree of %s: %w", c.Hash, err)
	}
	return fleet.Read(tree)
}

var errRefused = errors.New("promotion refused")
