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
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/storer"
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
	if err := CheckRevision(revision); err != nil {
		return nil, err
	}
	// What is large is copied, not kept.
	store := filesystem.NewStorageWithOptions(dot, cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{LargeObjectThreshold: 1 << 20})
	repo, err := initRepository(from, store, tree)
	if err != nil {
		return nil, err
	}
	p := partial{revision: revision, shallow: true, filter: packp.FilterBlobLimit(maxFile, packp.BlobLimitPrefixNone)}
	if err := p.onDisk(ctx, from, store, dir); err != nil {
		return nil, err
	}
	hash := plumbing.NewHash(revision)
	if err := store.SetShallow([]plumbing.Hash{hash}); err != nil {
		return nil, err
	}
	commit, err := repo.CommitObject(hash)
	if err != nil {
		return nil, fmt.Errorf("commit %s isn't in %s: %w", revision, from.URL, err)
	}
	if err := checkSize(store, commit); err != nil {
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

// checkSize refuses a commit with more than is built: a file that the server kept, because it is too large, or too much
// in all of them together.
func checkSize(store storer.EncodedObjectStorer, commit *object.Commit) error {
	total := int64(0)
	return Walk(commit, func(path string, _ *object.Tree, e object.TreeEntry) error {
		if e.Mode == filemode.Submodule {
			return nil
		}
		size, err := store.EncodedObjectSize(e.Hash)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return fmt.Errorf("%s has %d MiB or more: keep what is that large out of Git", path, maxFile>>20)
		}
		if total += size; err == nil && total > maxCommit {
			err = fmt.Errorf("they have more than %d MiB together: keep what is that large out of Git", maxCommit>>20)
		}
		return err
	})
}

// Fetch brings refs of the remote with all their history into a new repository in memory. Its work tree may be nil.
func Fetch(ctx context.Context, from Remote, tree billy.Filesystem, refs ...config.RefSpec) (*git.Repository, error) {
	repo, err := initRepository(from, memory.NewStorage(), tree)
	if err != nil {
		return nil, err
	}
	err = repo.FetchContext(ctx, &git.FetchOptions{RefSpecs: refs, Tags: git.NoTags, CABundle: from.CA, Auth: from.auth()})
	if err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil, fmt.Errorf("fetch %s: %w", from.URL, err)
	}
	return repo, nil
}

func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("repository address %q is no address", redact.Value(address))
	}
	if u.Scheme != "https" {
		return fmt.Errorf("repository address %q: %w", redact.Value(address), httpclient.ErrPlainHTTP)
	}
	return nil
}

func initRepository(from Remote, store storage.Storer, tree billy.Filesystem) (*git.Repository, error) {
	if err := checkAddress(from.URL); err != nil {
		return nil, err
	}
	repo, err := git.Init(store, tree)
	if err != nil {
		return nil, fmt.Errorf("make a repository: %w", err)
	}
	_, err = repo.CreateRemote(&config.RemoteConfig{Name: git.DefaultRemoteName, URLs: []string{from.URL}})
	return repo, err
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
	entries := 0
	return walk(tree, "", 0, &entries, visit)
}

func walk(tree *object.Tree, folder string, depth int, entries *int, visit func(path string, in *object.Tree, e object.TreeEntry) error) error {
	if depth > maxDepth {
		return fmt.Errorf("folders lie more than %d deep", maxDepth)
	}
	names := map[string]bool{}
	for _, e := range tree.Entries {
		if e.Name == "" || strings.Contains(e.Name, "/") || names[e.Name] {
			return fmt.Errorf("folder %q holds %q, which is no name or is there twice", folder, e.Name)
		}
		names[e.Name] = true
		// Folders count: a few that hold each other many times make more paths than anybody can walk.
		if *entries++; *entries > MaxFiles {
			return fmt.Errorf("there are more than %d files and folders", MaxFiles)
		}
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
		if err := walk(sub, folder+e.Name+"/", depth+1, entries, visit); err != nil {
			return err
		}
	}
	return nil
}
