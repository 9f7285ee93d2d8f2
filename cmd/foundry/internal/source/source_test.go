package source_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
	"github.com/druppie/druppie-up/internal/httpclient"
)

func TestCheckout(t *testing.T) {
	g := foundrytest.NewGit(t, "druppie/drone-service",
		map[string]string{"a.txt": "one", "dir/b.txt": "b"}, map[string]string{"a.txt": "two", "c.txt": "c"})
	for i, want := range []struct{ a, c string }{{"one", ""}, {"two", "c"}} {
		dir := t.TempDir()
		commit, err := source.Checkout(context.Background(), remote(t, g), g.Commits[i], dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := commit.Hash.String(); got != g.Commits[i] {
			t.Errorf("got %s, want %s", got, g.Commits[i])
		}
		if got := read(t, dir, "a.txt"); got != want.a {
			t.Errorf("a.txt is %q, want %q", got, want.a)
		}
		if got := read(t, dir, "c.txt"); got != want.c {
			t.Errorf("c.txt is %q, want %q", got, want.c)
		}
		if got := read(t, dir, "dir/b.txt"); got != "b" {
			t.Errorf("dir/b.txt is %q", got)
		}
	}
}

func remote(t *testing.T, g foundrytest.Git) source.Remote {
	t.Helper()
	u, err := source.URL(g.Address, g.Name)
	if err != nil {
		t.Fatal(err)
	}
	return source.Remote{URL: u, CA: g.CA}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func TestCheckoutRefuses(t *testing.T) {
	g := foundrytest.NewGit(t, "druppie/drone-service", map[string]string{"a.txt": "one"})
	good := remote(t, g)
	foreign, elsewhere, plain := good, good, good
	foreign.CA = foundrytest.ForeignCA(t)
	elsewhere.URL = strings.Replace(good.URL, "drone-service", "other", 1)
	plain.URL = strings.Replace(good.URL, "https", "http", 1)
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "left.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		from     source.Remote
		revision string
		dir      string
		want     string
	}{
		{"a branch", good, "main", t.TempDir(), "full commit hash"},
		{"a short hash", good, g.Commits[0][:12], t.TempDir(), "full commit hash"},
		{"a commit that isn't there", good, strings.Repeat("0", 39) + "1", t.TempDir(), "fetch " + strings.Repeat("0", 39) + "1 from"},
		{"a foreign CA", foreign, g.Commits[0], t.TempDir(), "certificate"},
		{"another repository", elsewhere, g.Commits[0], t.TempDir(), "not found"},
		{"plain http", plain, g.Commits[0], t.TempDir(), httpclient.ErrPlainHTTP.Error()},
		{"a folder in use", good, g.Commits[0], full, "isn't empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := source.Checkout(context.Background(), tt.from, tt.revision, tt.dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestURL(t *testing.T) {
	tests := []struct{ gitea, repository, want string }{
		{"https://gitea.gitea.svc.cluster.local:3000", "druppie/drone-service", "https://gitea.gitea.svc.cluster.local:3000/druppie/drone-service.git"},
		{"https://gitea.example/", "a/b", "https://gitea.example/a/b.git"},
		{"http://gitea.example", "a/b", ""},
		{"http://piet:hond12@gitea.example", "a/b", ""},
		{"https://piet:hond12@gitea example", "a/b", ""},
		{"https://gitea.example", "a", ""},
		{"https://gitea.example", "a/b/c", ""},
		{"https://gitea.example", "../b", ""},
		{"https://gitea.example", "a/..", ""},
		{"https://gitea.example", "a/b?x=y", ""},
		{"https://gitea.example", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.gitea+" "+tt.repository, func(t *testing.T) {
			got, err := source.URL(tt.gitea, tt.repository)
			if got != tt.want || (err == nil) != (tt.want != "") || err != nil && strings.Contains(err.Error(), "hond12") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestWalk holds that nothing in a commit is passed over because a folder before it can't be read: go-git's own walker
// does that.
func TestWalk(t *testing.T) {
	store := memory.NewStorage()
	put := func(kind plumbing.ObjectType, data string) plumbing.Hash {
		t.Helper()
		o := store.NewEncodedObject()
		o.SetType(kind)
		w, err := o.Writer()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		hash, err := store.SetEncodedObject(o)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	entry := func(mode, name string, hash plumbing.Hash) string {
		return mode + " " + name + "\x00" + string(hash[:])
	}
	file := put(plumbing.BlobObject, "text")
	good := put(plumbing.TreeObject, entry("100644", "f", file))
	for _, tt := range []struct {
		name, tree string
		want       string // the paths, or what the error says
	}{
		{"files and folders", entry("100644", "a", file) + entry("40000", "b", good) + entry("100755", "c", file), "a b/f c"},
		{"a mode too large to read", entry("40000", "b", put(plumbing.TreeObject, entry("1000000000000100644", "f", file))) + entry("100644", "c", file), `folder "b"`},
		{"a folder that isn't there", entry("40000", "b", plumbing.NewHash(strings.Repeat("1", 40))) + entry("100644", "c", file), `folder "b"`},
		{"a name twice", entry("100644", "c", file) + entry("100644", "c", file), "there twice"},
		{"a path as a name", entry("100644", "a/c", file), "no name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			commit, err := object.GetCommit(store, put(plumbing.CommitObject, "tree "+put(plumbing.TreeObject, tt.tree).String()+"\n\nx"))
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			err = source.Walk(commit, func(path string, _ *object.Tree, _ object.TreeEntry) error {
				paths = append(paths, path)
				return nil
			})
			got := strings.Join(paths, " ")
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) || err == nil && got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
