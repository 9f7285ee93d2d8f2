package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Precedes says whether one commit came before another in the history of main. What isn't in that
// history came before nothing.
func Precedes(ctx context.Context, from Origin, older, newer string) (bool, error) {
	for _, revision := range []string{older, newer} {
		if err := CheckRevision(revision); err != nil {
			return false, err
		}
	}
	if older == newer {
		return false, nil
	}
	repo, err := Open(from, memory.NewStorage(), nil)
	if err != nil {
		return false, err
	}
	if err := Fetch(ctx, repo, from, 0, config.RefSpec("+refs/heads/main:refs/remotes/origin/main")); err != nil {
		return false, fmt.Errorf("fetch the history of %s: %w", from.URL, err)
	}
	first, err := repo.CommitObject(plumbing.NewHash(older))
	if err == nil {
		second, e := repo.CommitObject(plumbing.NewHash(newer))
		if err = e; err == nil {
			return first.IsAncestor(second)
		}
	}
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return false, nil
	}
	return false, err
}
