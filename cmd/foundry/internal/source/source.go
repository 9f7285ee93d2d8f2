// Package source fetches one commit of a repository over https. It owns the
// promise that what it hands on is exactly the commit that was asked for, and
// refuses branch names, short hashes and plain http.
package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/cmd/foundry/internal/trust"
	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/tracedb/redact"
)

// Origin is where a repository is and how to reach it.
type Origin struct {
	URL  string
	CA   trust.CA
	Auth *trust.Credentials // nil: anonymous
}

var (
	fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)
	fullName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// URL builds a clone URL from the forge's address and a repository's full name.
// Payloads of webhooks carry URLs too, but those are for browsers.
func URL(forge, repository string) (string, error) {
	if !fullName.MatchString(repository) || strings.Contains(repository, "..") {
		return "", fmt.Errorf("repository %q isn't of the form owner/name", repository)
	}
	base, err := url.Parse(forge)
	if err != nil {
		return "", fmt.Errorf("forge address %q is no address", redact.Value(forge))
	}
	if base.Scheme != "https" {
		return "", fmt.Errorf("forge address %q: %w", redact.Value(forge), httpclient.ErrPlainHTTP)
	}
	return base.JoinPath(repository + ".git").String(), nil
}

// CheckRevision refuses what isn't a full commit hash.
func CheckRevision(revision string) error {
	if !fullHash.MatchString(revision) {
		return fmt.Errorf("revision %q isn't a full commit hash", revision)
	}
	return nil
}

// Checkout puts the files of one commit into dir, which must be empty.
func Checkout(ctx context.Context, from Origin, revision, dir string) (*object.Commit, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("folder %s isn't empty: a checkout starts from nothing", dir)
	}
	tree := osfs.New(dir)
	dot, err := tree.Chroot(git.GitDirName)
	if err != nil {
		return nil, err
	}
	return fetch(ctx, from, revision, filesystem.NewStorage(dot, cache.NewObjectLRUDefault()), tree)
}

// Commit fetches one commit and its files into memory.
func Commit(ctx context.Context, from Origin, revision string) (*object.Commit, error) {
	return fetch(ctx, from, revision, memory.NewStorage(), nil)
}

func fetch(ctx context.Context, from Origin, revision string, store storage.Storer, tree billy.Filesystem) (*object.Commit, error) {
	if err := CheckRevision(revision); err != nil {
		return nil, err
	}
	repo, err := Open(from, store, tree)
	if err != nil {
		return nil, err
	}
	hash := plumbing.NewHash(revision)
	// A server that knows the commit gives it alone; one that can't (older Git
	// settings, or a shallow request it doesn't support) gives all branches.
	if err := Fetch(ctx, repo, from, 1, config.RefSpec(revision+":refs/heads/checkout")); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := Fetch(ctx, repo, from, 0, "+refs/heads/*:refs/remotes/origin/*"); err != nil {
			return nil, fmt.Errorf("fetch %s: %w", from.URL, err)
		}
	}
	commit, err := repo.CommitObject(hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s isn't in %s: %w", revision, from.URL, err)
	}
	if tree == nil {
		return commit, nil
	}
	wt, err := repo.Worktree()
	if err != nil {
		return nil, err
	}
	if err := wt.Checkout(&git.CheckoutOptions{Hash: hash, Force: true}); err != nil {
		return nil, fmt.Errorf("check out %s: %w", revision, err)
	}
	head, err := repo.Head()
	if err != nil {
		return nil, err
	}
	if head.Hash() != hash {
		return nil, fmt.Errorf("checked out %s, but %s was asked for", head.Hash(), revision)
	}
	return commit, nil
}

// Open makes an empty repository with from as its origin.
func Open(from Origin, store storage.Storer, tree billy.Filesystem) (*git.Repository, error) {
	u, err := url.Parse(from.URL)
	if err != nil {
		return nil, fmt.Errorf("repository address %q is no address", redact.Value(from.URL))
	}
	if u.Scheme != "https" {
		return nil, fmt.Errorf("repository address %q: %w", redact.Value(from.URL), httpclient.ErrPlainHTTP)
	}
	repo, err := git.Init(store, tree)
	if err != nil {
		return nil, fmt.Errorf("make a repository: %w", err)
	}
	if _, err := repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{from.URL}}); err != nil {
		return nil, err
	}
	return repo, nil
}

// Fetch brings refs of the origin; depth 0 means with all history.
func Fetch(ctx context.Context, repo *git.Repository, from Origin, depth int, refs ...config.RefSpec) error {
	err := repo.FetchContext(ctx, &git.FetchOptions{
		RefSpecs: refs, Depth: depth, Tags: git.NoTags, CABundle: from.CA, Auth: from.auth(),
	})
	if errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil
	}
	return err
}

// Push sends refs to the origin.
func Push(ctx context.Context, repo *git.Repository, to Origin, refs ...config.RefSpec) error {
	err := repo.PushContext(ctx, &git.PushOptions{
		RefSpecs: refs, CABundle: to.CA, Auth: to.auth(),
	})
	if errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil
	}
	return err
}

func (o Origin) auth() githttp.AuthMethod {
	if o.Auth == nil {
		return nil
	}
	return &githttp.BasicAuth{Username: o.Auth.Username, Password: o.Auth.Secret}
}
