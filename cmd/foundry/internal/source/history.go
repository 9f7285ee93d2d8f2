package source

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/druppie/druppie-up/internal/giteaclient"
)

// HasMore says whether commit b has history that a lacks. Gitea is asked to compare, whatever the size of that history;
// only commits that are on a branch of the repository can be.
func HasMore(api *giteaclient.Client, repository, a, b string) (bool, error) {
	owner, name, _ := strings.Cut(repository, "/")
	compared, resp, err := api.CompareCommits(owner, name, a, b)
	if giteaclient.Status(resp) == http.StatusNotFound {
		err = errors.Join(ErrUnknownCommit, err)
	}
	if err != nil {
		return false, fmt.Errorf("compare %s with %s in %s: %w", a, b, repository, err)
	}
	return compared.TotalCommits > 0, nil
}

// ErrUnknownCommit says that a commit is on no branch of its repository.
var ErrUnknownCommit = errors.New("one of them is on no branch")

// IsAncestor says whether one commit is an ancestor of another. What is on no branch is no ancestor, and has none.
func IsAncestor(api *giteaclient.Client, repository, older, newer string) (bool, error) {
	if err := errors.Join(CheckRevision(older), CheckRevision(newer)); err != nil {
		return false, err
	}
	if older == newer {
		return false, nil
	}
	more, err := HasMore(api, repository, newer, older)
	if errors.Is(err, ErrUnknownCommit) {
		return false, nil
	}
	return err == nil && !more, err
}
