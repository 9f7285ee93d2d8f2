package gitea

import (
	"context"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
)

// Push lets tests push as any identity, with force where parent says so.
func Push(ctx context.Context, e frontdoor.Endpoint, username, token, repo, branch, parent, message string, files map[string][]byte) (string, error) {
	p, err := newPusher(ctx, e, username, token)
	if err != nil {
		return "", err
	}
	return p.push(ctx, push{repo: repo, branch: branch, parent: parent, files: files, message: message})
}

// EmptyTenant is what a tenant's folder of the fleet begins with.
const EmptyTenant = emptyTenant
