package registryworld

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/druppie/druppie-up/internal/names"
)

// corruptFrom is how large a blob has to be for its bytes to be worth spoiling.
const corruptFrom = 1 << 20

// upstream serves the images of a store under <host>/<repository>, each behind an index as upstream's real
// images are: with an image for another machine and an attestation, neither of which is there. The first
// manifest that anybody asks for is answered with "too many requests", and the first large blob has a wrong
// byte; both are right when asked for again.
type upstream struct {
	dir   string
	repos map[string]*repository

	mu        sync.Mutex
	throttled string         // the path that was answered with 429
	corrupted string         // the digest of the blob that went out with a wrong byte
	served    map[string]int // complete and right answers, by path
	refused   []string       // what was requested and isn't there
	bytes     int64          // of blobs
}

// repository is what can be pulled under one name.
type repository struct {
	tags      map[string]v1.Hash
	manifests map[v1.Hash]manifest
	blobs     map[v1.Hash]bool
}

type manifest struct {
	mediaType types.MediaType
	raw       []byte
}

// newUpstream reads what the store in dir holds.
func newUpstream(dir string) (*upstream, error) {
	u := &upstream{dir: dir, repos: map[string]*repository{}, served: map[string]int{}}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	index, err := top.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	for _, d := range index.Manifests {
		ref := d.Annotations["org.opencontainers.image.ref.name"]
		if ref == "" || strings.HasPrefix(ref, names.OwnHost+"/") {
			continue
		}
		if err := u.add(ref, d); err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
	}
	return u, nil
}

func (u *upstream) add(ref string, d v1.Descriptor) error {
	name, tag := split(ref)
	repo := u.repos[name]
	if repo == nil {
		repo = &repository{tags: map[string]v1.Hash{}, manifests: map[v1.Hash]manifest{}, blobs: map[v1.Hash]bool{}}
		u.repos[name] = repo
	}
	raw, err := os.ReadFile(u.blob(d.Digest))
	if err != nil {
		return err
	}
	if !d.MediaType.IsIndex() {
		if err := repo.addImage(d, raw); err != nil {
			return err
		}
		if raw, err = wrap(d); err != nil {
			return err
		}
		repo.tags[tag], err = repo.addManifest(types.OCIImageIndex, raw)
		return err
	}
	repo.tags[tag] = d.Digest
	if _, err := repo.addManifest(d.MediaType, raw); err != nil {
		return err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	for _, child := range index.Manifests {
		raw, err := os.ReadFile(u.blob(child.Digest))
		if os.IsNotExist(err) {
			continue // of another platform
		}
		if err != nil {
			return err
		}
		if err := repo.addImage(child, raw); err != nil {
			return err
		}
	}
	return nil
}

func (r *repository) addManifest(mt types.MediaType, raw []byte) (v1.Hash, error) {
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return v1.Hash{}, err
	}
	r.manifests[digest] = manifest{mt, raw}
	return digest, nil
}

func (r *repository) addImage(d v1.Descriptor, raw []byte) error {
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.manifests[d.Digest] = manifest{d.MediaType, raw}
	r.blobs[m.Config.Digest] = true
	for _, l := range m.Layers {
		r.blobs[l.Digest] = true
	}
	return nil
}

// wrap writes an index around one image. The image of this machine is neither the first nor the last.
func wrap(d v1.Descriptor) ([]byte, error) {
	elsewhere := "arm64"
	if runtime.GOARCH == elsewhere {
		elsewhere = "amd64"
	}
	absent := func(kind string) (v1.Hash, error) {
		h, _, err := v1.SHA256(strings.NewReader(kind + d.Digest.String()))
		return h, err
	}
	other, err := absent("other platform")
	if err != nil {
		return nil, err
	}
	attestation, err := absent("attestation")
	if err != nil {
		return nil, err
	}
	mine := v1.Descriptor{MediaType: d.MediaType, Size: d.Size, Digest: d.Digest,
		Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}
	return json.MarshalIndent(v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests: []v1.Descriptor{
			{MediaType: d.MediaType, Size: d.Size, Digest: other, Platform: &v1.Platform{OS: "linux", Architecture: elsewhere}},
			mine,
			{MediaType: types.OCIManifestSchema1, Size: 566, Digest: attestation,
				Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{
					"vnd.docker.reference.type":   "attestation-manifest",
					"vnd.docker.reference.digest": d.Digest.String(),
				}},
		},
	}, "", "  ")
}

// images says which digest each name stands for here.
func (u *upstream) images() map[string]string {
	all := map[string]string{}
	for name, repo := range u.repos {
		for tag, digest := range repo.tags {
			all[name+":"+tag] = digest.String()
		}
	}
	return all
}

var route = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`)

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v2/" {
		fmt.Fprint(w, "{}")
		return
	}
	m := route.FindStringSubmatch(r.URL.Path)
	if m == nil || u.repos[m[1]] == nil {
		u.refuse(w, r)
		return
	}
	repo, what := u.repos[m[1]], m[3]
	if m[2] == "blobs" {
		u.serveBlob(w, r, repo, what)
		return
	}
	digest, ok := repo.tags[what]
	if !ok {
		digest, _ = v1.NewHash(what) // of no digest nothing is found
	}
	found, ok := repo.manifests[digest]
	if !ok {
		u.refuse(w, r)
		return
	}
	if u.once(&u.throttled, r.URL.Path) {
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	w.Header().Set("Content-Type", string(found.mediaType))
	w.Header().Set("Docker-Content-Digest", digest.String())
	w.Header().Set("Content-Length", strconv.Itoa(len(found.raw)))
	if n, err := w.Write(found.raw); err == nil && n == len(found.raw) {
		u.count(r.URL.Path, 0)
	}
}

func (u *upstream) serveBlob(w http.ResponseWriter, r *http.Request, repo *repository, what string) {
	digest, err := v1.NewHash(what)
	if err != nil || !repo.blobs[digest] {
		u.refuse(w, r)
		return
	}
	f, err := os.Open(u.blob(digest))
	if err != nil {
		u.refuse(w, r)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		u.refuse(w, r)
		return
	}
	if r.Header.Get("Range") != "" {
		http.ServeContent(w, r, "", time.Time{}, f)
		u.count(r.URL.Path, 0)
		return
	}
	var body io.Reader = f
	spoilt := info.Size() >= corruptFrom && u.once(&u.corrupted, digest.String())
	if spoilt {
		first := make([]byte, 1)
		if _, err := io.ReadFull(f, first); err != nil {
			u.refuse(w, r)
			return
		}
		first[0] ^= 0xff
		body = io.MultiReader(bytes.NewReader(first), f)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	if n, err := io.Copy(w, body); err == nil && n == info.Size() && !spoilt {
		u.count(r.URL.Path, n)
	}
}

// once says whether it is the first call for mark, and notes what it was for.
func (u *upstream) once(mark *string, what string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if *mark != "" {
		return false
	}
	*mark = what
	return true
}

func (u *upstream) count(path string, n int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.served[path]++
	u.bytes += n
}

func (u *upstream) refuse(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.refused = append(u.refused, r.Method+" "+r.URL.Path)
	u.mu.Unlock()
	http.NotFound(w, r)
}

func (u *upstream) blob(h v1.Hash) string { return filepath.Join(u.dir, "blobs", h.Algorithm, h.Hex) }

// split takes a name and its tag apart. A host's port can't stand in a path, so it gets a dash.
func split(ref string) (name, tag string) {
	i := strings.LastIndex(ref, ":")
	return strings.ReplaceAll(ref[:i], ":", "-"), ref[i+1:]
}

// servedNow is a copy of how often each path was answered.
func (u *upstream) servedNow() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.served)
}

// blobsServed is how many blobs went out.
func (u *upstream) blobsServed() (n int) {
	for path, times := range u.servedNow() {
		if strings.Contains(path, "/blobs/") {
			n += times
		}
	}
	return n
}

// bytesServed is how many bytes of blobs went out.
func (u *upstream) bytesServed() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.bytes
}
