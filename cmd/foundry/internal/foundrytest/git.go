package foundrytest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/util"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/revlist"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
)

// Git serves one repository over https, by the smart protocol, for reading. It
// is a server of the simple kind: a shallow clone gets all there is.
type Git struct {
	Address string // of Gitea
	Name    string // full name of the repository
	CA      credentials.CA
	Commits []string // one for each of the states given, oldest first

	store *memory.Storage
}

// SetBranch points a branch at a commit.
func (g Git) SetBranch(t *testing.T, name, commit string) {
	t.Helper()
	ref := plumbing.NewHashReference(plumbing.NewBranchReferenceName(name), plumbing.NewHash(commit))
	if err := g.store.SetReference(ref); err != nil {
		t.Fatal(err)
	}
}

// Commit makes a commit of files, and nothing else, on top of another; branch points at it then.
func (g Git) Commit(t *testing.T, branch, parent string, files map[string]string) string {
	t.Helper()
	repo, err := git.Open(g.store, memfs.New())
	if err != nil {
		t.Fatal(err)
	}
	wt, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	ref := plumbing.NewBranchReferenceName(branch)
	g.SetBranch(t, branch, parent)
	if err := wt.Checkout(&git.CheckoutOptions{Branch: ref, Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := wt.RemoveGlob("*"); err != nil && !errors.Is(err, git.ErrGlobNoMatches) {
		t.Fatal(err)
	}
	return commit(t, wt, files)
}

// NewGit makes a repository with one commit on main for each state, which is
// files by path.
func NewGit(t *testing.T, name string, states ...map[string]string) Git {
	t.Helper()
	store := memory.NewStorage()
	repo, err := git.InitWithOptions(store, memfs.New(), git.InitOptions{DefaultBranch: plumbing.Main})
	if err != nil {
		t.Fatal(err)
	}
	wt, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	g := Git{Name: name, store: store}
	for _, files := range states {
		g.Commits = append(g.Commits, commit(t, wt, files))
	}
	g.Address, g.CA = Gitea(t, g.compare(), g)
	return g
}

// compare is the part of the API that compares two commits: how many the second has that the first hasn't.
func (g Git) compare() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/repos/"+g.Name+"/compare/{range}", func(w http.ResponseWriter, r *http.Request) {
		a, b, _ := strings.Cut(r.PathValue("range"), "...")
		has := map[plumbing.Hash]bool{}
		count := func(from string) (n int, err error) {
			c, err := object.GetCommit(g.store, plumbing.NewHash(from))
			if err != nil {
				return 0, err
			}
			return n, object.NewCommitPreorderIter(c, has, nil).ForEach(func(c *object.Commit) error {
				has[c.Hash] = true
				n++
				return nil
			})
		}
		_, err := count(a)
		more := 0
		if err == nil {
			more, err = count(b)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]int{"total_commits": more})
	})
	return mux
}

// commit commits files and what the work tree has already.
func commit(t *testing.T, wt *git.Worktree, files map[string]string) string {
	t.Helper()
	for path, text := range files {
		if err := util.WriteFile(wt.Filesystem, path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := wt.Add(path); err != nil {
			t.Fatal(err)
		}
	}
	who := &object.Signature{Name: "builder", Email: "builder@druppie.invalid", When: time.Now()}
	hash, err := wt.Commit("a commit", &git.CommitOptions{Author: who})
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

// Gitea serves repositories, and an API beside them, at one address.
func Gitea(t *testing.T, api http.Handler, repos ...Git) (address string, ca credentials.CA) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", api)
	for _, g := range repos {
		g.serve(mux)
	}
	host, ca := TLS(t, mux)
	return "https://" + host, ca
}

func (g Git) serve(mux *http.ServeMux) {
	type encoder interface{ Encode(io.Writer) error }
	handle := func(pattern, contentType string, answer func(transport.UploadPackSession, *http.Request) (encoder, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			var body encoder
			endpoint, err := transport.NewEndpoint("https://gitea/" + g.Name)
			if err == nil {
				var session transport.UploadPackSession
				session, err = server.NewServer(server.MapLoader{endpoint.String(): g.store}).NewUploadPackSession(endpoint, nil)
				if err == nil {
					body, err = answer(session, r)
				}
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", contentType)
			_ = body.Encode(w) // the client sees what is missing
		})
	}
	handle("GET /"+g.Name+".git/info/refs", "application/x-git-upload-pack-advertisement",
		func(s transport.UploadPackSession, r *http.Request) (encoder, error) {
			refs, err := s.AdvertisedReferencesContext(r.Context())
			if err != nil {
				return nil, err
			}
			refs.Prefix = [][]byte{[]byte("# service=git-upload-pack"), []byte("")}
			return refs, refs.Capabilities.Set(capability.Filter)
		})
	handle("POST /"+g.Name+".git/git-upload-pack", "application/x-git-upload-pack-result",
		func(s transport.UploadPackSession, r *http.Request) (encoder, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			filter := filterLine.FindSubmatch(body)
			req := packp.NewUploadPackRequest()
			// The decoder knows no filters.
			if err := req.Decode(bytes.NewReader(filterLine.ReplaceAll(body, nil))); err != nil {
				return nil, err
			}
			if filter != nil {
				return g.partial(req, packp.Filter(filter[1]))
			}
			return s.UploadPack(r.Context(), req)
		})
	mux.HandleFunc("GET /api/v1/repos/"+g.Name+"/git/blobs/{hash}", func(w http.ResponseWriter, r *http.Request) {
		blob, err := object.GetBlob(g.store, plumbing.NewHash(r.PathValue("hash")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		var text []byte
		content, err := blob.Reader()
		if err == nil {
			text, err = io.ReadAll(content)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(gitea.GitBlobResponse{Content: base64.StdEncoding.EncodeToString(text), Size: int64(len(text))})
	})
}

var filterLine = regexp.MustCompile(`[0-9a-f]{4}filter (\S+)\n`)

// partial answers with what the filter leaves, of all that the wanted commits are made of.
func (g Git) partial(req *packp.UploadPackRequest, filter packp.Filter) (*packp.UploadPackResponse, error) {
	all, err := revlist.Objects(g.store, req.Wants, nil)
	if err != nil {
		return nil, err
	}
	limit := int64(0) // blob:none
	if n, ok := strings.CutPrefix(string(filter), "blob:limit="); ok {
		if limit, err = strconv.ParseInt(n, 10, 64); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(h plumbing.Hash) bool {
		blob, ok := g.store.Blobs[h]
		return ok && blob.Size() >= limit
	})
	r, w := io.Pipe()
	go func() {
		_, err := packfile.NewEncoder(w, g.store, false).Encode(all, 10)
		w.CloseWithError(err)
	}()
	return packp.NewUploadPackResponseWithPackfile(req, r), nil
}
