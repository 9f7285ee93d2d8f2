package gitea

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	sdk "code.gitea.io/sdk/gitea"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/go-git/go-git/v5/storage/memory"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// PushPlatform makes main of the platform repository hold exactly these files,
// in a commit by the installer, and returns the commit. When it holds them
// already, nothing is pushed.
func PushPlatform(ctx context.Context, c client.Client, endpoint frontdoor.Endpoint, files map[string][]byte, message string) (string, error) {
	p, err := newInstaller(ctx, c, endpoint)
	if err != nil {
		return "", err
	}
	commit, err := p.push(ctx, push{repo: names.RepoPlatform, branch: names.MainBranch, files: files, message: message})
	if err != nil {
		return "", fmt.Errorf("push to %s/%s: %w", names.Organisation, names.RepoPlatform, err)
	}
	return commit, nil
}

// PlatformHead is the commit that main of the platform repository stands at.
func PlatformHead(ctx context.Context, c client.Client, endpoint frontdoor.Endpoint) (string, error) {
	p, err := newInstaller(ctx, c, endpoint)
	if err != nil {
		return "", err
	}
	branch, _, err := p.api.GetRepoBranch(names.Organisation, names.RepoPlatform, names.MainBranch)
	if err != nil {
		return "", fmt.Errorf("branch %s of %s/%s: %w", names.MainBranch, names.Organisation, names.RepoPlatform, err)
	}
	return branch.Commit.ID, nil
}

// PlatformFolders lists the folders at the root of the platform repository.
func PlatformFolders(ctx context.Context, c client.Client, endpoint frontdoor.Endpoint) ([]string, error) {
	p, err := newInstaller(ctx, c, endpoint)
	if err != nil {
		return nil, err
	}
	list, _, err := p.api.ListContents(names.Organisation, names.RepoPlatform, names.MainBranch, "")
	if err != nil {
		return nil, fmt.Errorf("list %s/%s: %w", names.Organisation, names.RepoPlatform, err)
	}
	var folders []string
	for _, e := range list {
		if e.Type == "dir" {
			folders = append(folders, e.Name)
		}
	}
	return folders, nil
}

func newInstaller(ctx context.Context, c client.Client, endpoint frontdoor.Endpoint) (*pusher, error) {
	data, err := identityData(ctx, c, names.UserInstaller)
	if err != nil {
		return nil, err
	}
	return newPusher(ctx, endpoint, names.UserInstaller, string(data["token"]))
}

// pusher pushes whole trees. It uses Git's protocol through go-git but below
// its repositories: those take their transport from a global table, and ours
// is one endpoint's own.
type pusher struct {
	api      *giteaclient.Client
	git      transport.Transport
	endpoint frontdoor.Endpoint
	username string
	token    string
}

func newPusher(ctx context.Context, endpoint frontdoor.Endpoint, username, token string) (*pusher, error) {
	httpClient, err := endpoint.Client()
	if err != nil {
		return nil, err
	}
	api, err := giteaclient.New(ctx, giteaclient.Options{URL: endpoint.URL("gitea"), HTTP: httpClient, Token: giteaclient.Token(token)})
	if err != nil {
		return nil, err
	}
	return &pusher{api: api, git: githttp.NewClient(httpClient), endpoint: endpoint, username: username, token: token}, nil
}

// push is one commit to make.
type push struct {
	repo    string
	branch  string
	parent  string // default: where the branch stands
	files   map[string][]byte
	message string
}

func (p *pusher) push(ctx context.Context, what push) (string, error) {
	ep, err := transport.NewEndpoint(p.endpoint.URL("gitea") + "/" + names.Organisation + "/" + what.repo + ".git")
	if err != nil {
		return "", err
	}
	session, err := p.git.NewReceivePackSession(ep, &githttp.BasicAuth{Username: p.username, Password: p.token})
	if err != nil {
		return "", err
	}
	defer session.Close()
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return "", err
	}
	ref := plumbing.NewBranchReferenceName(what.branch)
	head := refs.References[ref.String()]

	store := memory.NewStorage()
	tree, err := writeTree(store, what.files)
	if err != nil {
		return "", err
	}
	if !head.IsZero() {
		root, err := object.GetTree(store, tree)
		if err != nil {
			return "", err
		}
		same, err := p.holds(what.repo, head, root)
		if err != nil || same {
			return head.String(), err
		}
	}
	parent := head
	if what.parent != "" {
		parent = plumbing.NewHash(what.parent)
	}
	commit, err := p.writeCommit(store, tree, parent, what.message)
	if err != nil {
		return "", err
	}
	return commit.String(), send(ctx, session, refs, store, &packp.Command{Name: ref, Old: head, New: commit})
}

// holds says whether a commit on the server has this tree. Gitea's API doesn't
// tell a commit's tree by its hash, but it lists what is in it.
func (p *pusher) holds(repo string, commit plumbing.Hash, tree *object.Tree) (bool, error) {
	have := map[string]string{}
	for page := 1; ; page++ {
		list, _, err := p.api.GetTrees(names.Organisation, repo, sdk.ListTreeOptions{
			ListOptions: sdk.ListOptions{Page: page, PageSize: 100}, Ref: commit.String(),
		})
		if err != nil {
			return false, fmt.Errorf("read tree of %s: %w", commit, err)
		}
		for _, e := range list.Entries {
			have[e.Path] = e.SHA
		}
		if len(list.Entries) == 0 || len(have) >= list.TotalCount {
			break
		}
	}
	for _, e := range tree.Entries {
		if have[e.Name] != e.Hash.String() {
			return false, nil
		}
	}
	return len(have) == len(tree.Entries), nil
}

func (p *pusher) writeCommit(store *memory.Storage, tree, parent plumbing.Hash, message string) (plumbing.Hash, error) {
	who := object.Signature{Name: p.username, Email: email(p.username), When: time.Now()}
	commit := &object.Commit{Author: who, Committer: who, Message: message + "\n", TreeHash: tree}
	if !parent.IsZero() {
		commit.ParentHashes = []plumbing.Hash{parent}
	}
	return put(store, commit)
}

func send(ctx context.Context, session transport.ReceivePackSession, refs *packp.AdvRefs, store *memory.Storage, cmd *packp.Command) error {
	var hashes []plumbing.Hash
	for h := range store.Objects {
		hashes = append(hashes, h)
	}
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, store, false).Encode(hashes, 0); err != nil {
		return fmt.Errorf("pack objects: %w", err)
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	if err := req.Capabilities.Set(capability.ReportStatus); err != nil {
		return err
	}
	// The server says why it refuses in its progress messages only.
	var said bytes.Buffer
	if refs.Capabilities.Supports(capability.Sideband64k) {
		if err := req.Capabilities.Set(capability.Sideband64k); err != nil {
			return err
		}
		req.Progress = &said
	}
	req.Commands = []*packp.Command{cmd}
	req.Packfile = io.NopCloser(&pack)
	if _, err := session.ReceivePack(ctx, req); err != nil {
		if why := strings.Join(strings.Fields(said.String()), " "); why != "" {
			return fmt.Errorf("%s: %w", why, err)
		}
		return err
	}
	return nil
}

// writeTree stores files as Git does: a blob each, a tree for each folder.
func writeTree(store *memory.Storage, files map[string][]byte) (plumbing.Hash, error) {
	entries := map[string]object.TreeEntry{}
	folders := map[string]map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == "" || path.Clean(name) != name || path.IsAbs(name) || strings.HasPrefix(name, "../") || name == "." {
			return plumbing.ZeroHash, fmt.Errorf("%q can't be a file's path in a repository", name)
		}
		first, rest, deeper := strings.Cut(name, "/")
		if deeper {
			if folders[first] == nil {
				folders[first] = map[string][]byte{}
			}
			folders[first][rest] = files[name]
			continue
		}
		blob := &plumbing.MemoryObject{}
		blob.SetType(plumbing.BlobObject)
		if _, err := blob.Write(files[name]); err != nil {
			return plumbing.ZeroHash, err
		}
		hash, err := store.SetEncodedObject(blob)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries[first] = object.TreeEntry{Name: first, Mode: filemode.Regular, Hash: hash}
	}
	for name, inside := range folders {
		if _, clash := entries[name]; clash {
			return plumbing.ZeroHash, fmt.Errorf("%q is both a file and a folder", name)
		}
		hash, err := writeTree(store, inside)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries[name] = object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: hash}
	}
	tree := &object.Tree{Entries: slices.Collect(maps.Values(entries))}
	sort.Sort(object.TreeEntrySorter(tree.Entries))
	return put(store, tree)
}

func put(store *memory.Storage, v interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	o := store.NewEncodedObject()
	if err := v.Encode(o); err != nil {
		return plumbing.ZeroHash, err
	}
	return store.SetEncodedObject(o)
}
