package registry

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/bootstrap/supply/store/imagetest"
)

// upstream is a registry in this process that holds images under
// <host>/<repository>, and can misbehave.
type upstream struct {
	host string

	mu    sync.Mutex
	gets  map[string]int // GETs of blobs and manifests by path
	fault func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{gets: map[string]int{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && (strings.Contains(r.URL.Path, "/blobs/") || strings.Contains(r.URL.Path, "/manifests/")) {
			u.mu.Lock()
			u.gets[r.URL.Path]++
			nth, fault := u.gets[r.URL.Path], u.fault
			u.mu.Unlock()
			if fault != nil && fault(w, r, nth, inner) {
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	u.host = strings.TrimPrefix(srv.URL, "http://")
	return u
}

func (u *upstream) misbehave(f func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault, u.gets = f, map[string]int{}
}

func (u *upstream) count(part string) (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for path, c := range u.gets {
		if strings.Contains(path, part) {
			n += c
		}
	}
	return n
}

func (u *upstream) push(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	tag, err := name.NewTag(u.host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
}

// pushIndex pushes an index of img and an image of another platform.
func (u *upstream) pushIndex(t *testing.T, ref string, img v1.Image) v1.ImageIndex {
	t.Helper()
	raw := imagetest.Index(t, img)
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	ii := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, d := range m.Manifests {
		add := imagetest.Random(t)
		if d.Digest.String() == imagetest.Digest(t, img) {
			add = img
		}
		ii = mutate.AppendManifests(ii, mutate.IndexAddendum{Add: add, Descriptor: v1.Descriptor{Platform: d.Platform}})
	}
	tag, err := name.NewTag(u.host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, ii); err != nil {
		t.Fatal(err)
	}
	return ii
}

func (u *upstream) supply(t *testing.T, change func(*Options)) *Registry {
	t.Helper()
	opt := Options{Mirror: u.host, Budget: 5 * time.Second, Stall: 2 * time.Second, Pause: time.Millisecond}
	if change != nil {
		change(&opt)
	}
	r, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func comps(refs ...string) []component.Component {
	c := component.Component{Name: "part", Version: "v1"}
	for _, r := range refs {
		full, digest, _ := strings.Cut(r, "@")
		c.Images = append(c.Images, component.Image{Name: full, Digest: digest})
	}
	return []component.Component{c}
}

func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustHave(t *testing.T, s *store.Store, ref, digest string) {
	t.Helper()
	e, err := s.Entry(ref)
	if err != nil {
		t.Fatal(err)
	}
	if e.Descriptor.Digest.String() != digest {
		t.Errorf("%s is %s, want %s", ref, e.Descriptor.Digest, digest)
	}
	img, err := s.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Errorf("%s: %v", ref, err)
	}
	if problems, err := s.Verify(t.Context(), store.VerifyOptions{}); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v, %v", problems, err)
	}
}
