package gitops

import (
	"context"
	"time"

	"github.com/druppie/druppie-up/internal/ui"
)

// WaitFluxQuickly looks a hundred times a second.
func WaitFluxQuickly(ctx context.Context, c Cluster, revision string) error {
	return waitFlux(ctx, c, revision, ui.Discard().Start("", ""), 10*time.Millisecond)
}

// Push lets tests push as any identity, with force where parent says so.
func Push(ctx context.Context, e Endpoint, username, token, repo, branch, parent, message string, files map[string][]byte) (string, error) {
	p, err := newPusher(ctx, e, username, token)
	if err != nil {
		return "", err
	}
	return p.push(ctx, push{repo: repo, branch: branch, parent: parent, files: files, message: message})
}
