// Package source fetches from a Git repository over https and pushes to it. It owns the
// promise that a checkout is exactly the commit that was asked for, and
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
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/tracedb/redact"
)

// Remote is where a repository is and how to reach it.
type Remote struct {
	URL  string
	CA   credentials.CA
	Auth *credentials.Basic // nil: anonymous
}

var (
	fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)
	fullName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// URL builds a clone URL from Gitea's address and a repository's full name.
// Payloads of webhooks carry URLs too, but those are for browsers.
func URL(gitea, repository string) (string, error) {
	if !fullName.MatchString(repository) || strings.Contains(repository, "..") {
		return "", fmt.Errorf("repository %q isn't of the form owner/name", repository)
	}
	base, err := url.Parse(gitea)
	if err != nil {
		return "", fmt.Errorf("address of Gitea %q is no address", redact.Value(gitea))
	}
	if base.Scheme != "https" {
		return "", fmt.Errorf("address of Gitea %q: %w", redact.Value(gitea), httpclient.ErrPlainHTTP)
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
func Checkout(ctx context.Context, from Remote, revision, dir string) (*object.Commit, error) {
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
	repo, commit, err := fetchCommit(ctx, from, revision, filesystem.NewStorage(dot, cache.NewObjectLRUDefault()), tree)
	if err != nil {
		return nil, err
	}
	wt, err := repo.Worktree()
	if err != nil {
		return nil, err
	}
	if err := wt.Checkout(&git.CheckoutOptions{Hash: commit.Hash, Force: true}); err != nil {
		return nil, fmt.Errorf("check out %s: %w", revision, err)
	}
	head, err := repo.Head()
	if err != nil {
		return nil, err
	}
	if head.Hash() != commit.Hash {
		return nil, fmt.Errorf("checked out %s, but %s was asked for", head.Hash(), revision)
	}
	return commit, nil
}

// Commit fetches one commit and its files into memory.
func Commit(ctx context.Context, from Remote, revision string) (*object.Commit, error) {
	_, commit, err := fetchCommit(ctx, from, revision, memory.NewStorage(), nil)
	return commit, err
}

func fetchCommit(ctx context.Context, from Remote, revision string, store storage.Storer, tree billy.Filesystem) (*git.Repository, *object.Commit, error) {
	if err := CheckRevision(revision); err != nil {
		return nil, nil, err
	}
	repo, err := initRepository(from, store, tree)
	if err != nil {
		return nil, nil, err
	}
	commit, err := add(ctx, repo, from, revision, 1)
	return repo, commit, err
}

// Add brings a commit with all its history into a repository that may have it already.
func Add(ctx context.Context, repo *git.Repository, from Remote, revision string) (*object.Commit, error) {
	if err := CheckRevision(revision); err != nil {
		return nil, err
	}
	if commit, err := repo.CommitObject(plumbing.NewHash(revision)); err == nil {
		return commit, nil
	}
	return add(ctx, repo, from, revision, 0)
}

func add(ctx context.Context, repo *git.Repository, from Remote, revision string, depth int) (*object.Commit, error) {
	// A server that knows the commit gives it alone; one that can't (older Git
	// settings, or a shallow request it doesn't support) gives all branches.
	if err := fetch(ctx, repo, from, depth, config.RefSpec(revision+":refs/fetched/"+revision)); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := fetch(ctx, repo, from, 0, "+refs/heads/*:refs/remotes/origin/*"); err != nil {
			return nil, err
		}
	}
	commit, err := repo.CommitObject(plumbing.NewHash(revision))
	if err != nil {
		return nil, fmt.Errorf("commit %s isn't in %s: %w", revision, from.URL, err)
	}
	return commit, nil
}

// Fetch brings refs of the remote with all their history into a new repository in memory. Its work tree may be nil.
func Fetch(ctx context.Context, from Remote, tree billy.Filesystem, refs ...config.RefSpec) (*git.Repository, error) {
	repo, err := initRepository(from, memory.NewStorage(), tree)
	if err != nil {
		return nil, err
	}
	return repo, fetch(ctx, repo, from, 0, refs...)
}

func initRepository(from Remote, store storage.Storer, tree billy.Filesystem) (*git.Repository, error) {
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
	_, err = repo.CreateRemote(&config.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{from.URL}})
	return repo, err
}

// fetch brings refs of the remote; depth 0 means with all history.
func fetch(ctx context.Context, repo *git.Repository, from Remote, depth int, refs ...config.RefSpec) error {
	err := repo.FetchContext(ctx, &git.FetchOptions{
		RefSpecs: refs, Depth: depth, Tags: git.NoTags, CABundle: from.CA, Auth: from.auth(),
	})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return fmt.Errorf("fetch %s: %w", from.URL, err)
	}
	return nil
}

// Push sends refs to the remote.
func Push(ctx context.Context, repo *git.Repository, to Remote, refs ...config.RefSpec) error {
	err := repo.PushContext(ctx, &git.PushOptions{RefSpecs: refs, CABundle: to.CA, Auth: to.auth()})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return fmt.Errorf("push to %s: %w", to.URL, err)
	}
	return nil
}

func (r Remote) auth() githttp.AuthMethod {
	if r.Auth == nil {
		return nil
	}
	return &githttp.BasicAuth{Username: r.Auth.Username, Password: r.Auth.Password}
}

// maxDepth is how deep folders may lie in each other.
const maxDepth = 100

// Walk visits every file of a commit, and gives the folder that it is in. It fails where it can't read a folder, where
// go-git's own walker takes that for the end of all, and where a name is there twice, which Git itself takes.
func Walk(commit *object.Commit, visit func(path string, in *object.Tree, e object.TreeEntry) error) error {
	tree, err := commit.Tree()
	if err != nil {
		return fmt.Errorf("files of %s: %w", commit.Hash, err)
	}
	if err := WalkTree(tree, visit); err != nil {
		return fmt.Errorf("files of %s: %w", commit.Hash, err)
	}
	return nil
}

// WalkTree is Walk from one folder on.
func WalkTree(tree *object.Tree, visit func(path string, in *object.Tree, e object.TreeEntry) error) error {
	return walk(tree, "", 0, visit)
}

func walk(tree *object.Tree, folder string, depth int, visit func(path string, in *object.Tree, e object.TreeEntry) error) error {
	if depth > maxDepth {
		return fmt.Errorf("folders lie more than %d deep", maxDepth)
	}
	names := map[string]bool{}
	for _, e := range tree.Entries {
		if e.Name == "" || strings.Contains(e.Name, "/") || names[e.Name] {
			return fmt.Errorf("folder %q holds %q, which is no name or is there twice", folder, e.Name)
		}
		names[e.Name] = true
		if e.Mode != filemode.Dir {
			if err := visit(folder+e.Name, tree, e); err != nil {
				return err
			}
			continue
		}
		sub, err := tree.Tree(e.Name)
		if err != nil {
			return fmt.Errorf("folder %q: %w", folder+e.Name, err)
		}
		if err := walk(sub, folder+e.Name+"/", depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}
