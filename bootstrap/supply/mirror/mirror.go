// Package mirror serves a store to the nodes' container runtimes as a registry
// that can only be read, for every upstream host at once.
//
// containerd asks one mirror for all hosts and says which one it means in the
// query parameter ns; since two hosts may have equal paths, that and the path
// together are the key. The package refuses to write, to fetch from anywhere,
// and to lean on anything beyond the standard library: its program is a small
// static binary. Who reads what it serves checks digests anyway.
package mirror

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// missLogInterval is how long an image that isn't there is not mentioned again: a kubelet
// asks every few seconds for as long as it takes.
const missLogInterval = time.Minute

var (
	route  = regexp.MustCompile(`^/v2/([a-z0-9._:/-]+)/(manifests|blobs)/([^/]+)$`)
	digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// Handler answers the pulling half of the registry protocol from a store.
type Handler struct {
	layout *layout
	log    *slog.Logger

	mu     sync.Mutex
	missed map[string]time.Time
}

// New returns a handler for the OCI image layout in dir. Changes to the layout
// are seen at the next request.
func New(dir string, log *slog.Logger) *Handler {
	return &Handler{layout: &layout{dir: dir}, log: log, missed: map[string]time.Time{}}
}

// Check says whether the store can be read.
func (h *Handler) Check() error {
	_, err := h.layout.entries()
	return err
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry can only be read")
		return
	}
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
		return
	}
	m := route.FindStringSubmatch(r.URL.Path)
	if m == nil {
		refuse(w, http.StatusNotFound, "UNSUPPORTED", "no such page")
		return
	}
	name := fullName(r.URL.Query().Get("ns"), m[1])
	if m[2] == "blobs" {
		h.blob(w, r, name, m[3])
		return
	}
	h.manifest(w, r, name, m[3])
}

// fullName joins the host that the client means with the repository's path. A
// client that doesn't know of ns may write the host into the path.
func fullName(ns, repo string) string {
	switch ns {
	case "":
		first, _, found := strings.Cut(repo, "/")
		if found && (strings.ContainsAny(first, ".:") || first == "localhost") {
			return repo
		}
		return "docker.io/" + repo
	case "registry-1.docker.io", "index.docker.io":
		ns = "docker.io"
	}
	return ns + "/" + repo
}

func (h *Handler) manifest(w http.ResponseWriter, r *http.Request, name, ref string) {
	byDigest := digest.MatchString(ref)
	want := name + ":" + ref
	if byDigest {
		want = name + "@" + ref
	}
	d, err := h.layout.find(name, ref, byDigest)
	if err == nil {
		var raw []byte
		if raw, err = os.ReadFile(h.layout.blob(d.Digest)); err == nil {
			w.Header().Set("Content-Type", d.MediaType)
			w.Header().Set("ETag", `"`+d.Digest+`"`)
			w.Header().Set("Docker-Content-Digest", d.Digest)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(raw)))
			if r.Method == http.MethodGet {
				h.log.Info("manifest", "image", want, "digest", d.Digest, "client", r.RemoteAddr)
			}
			return
		}
	}
	h.fail(w, err, "MANIFEST_UNKNOWN", "image", want)
}

func (h *Handler) blob(w http.ResponseWriter, r *http.Request, name, ref string) {
	if !digest.MatchString(ref) {
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "not a sha256 digest")
		return
	}
	f, err := os.Open(h.layout.blob(ref))
	if err != nil {
		h.fail(w, err, "BLOB_UNKNOWN", "blob", name+"@"+ref)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+ref+`"`)
	w.Header().Set("Docker-Content-Digest", ref)
	http.ServeContent(w, r, "", time.Time{}, f)
	h.log.Debug("blob", "image", name, "digest", ref, "client", r.RemoteAddr)
}

// fail writes the answer for what could not be read: not there, or a store that
// is damaged.
func (h *Handler) fail(w http.ResponseWriter, err error, code, kind, want string) {
	if errors.Is(err, fs.ErrNotExist) {
		if h.shouldLogMiss(want) {
			h.log.Warn("not in the store", kind, want)
		}
		refuse(w, http.StatusNotFound, code, want+" is not in the store")
		return
	}
	h.log.Error("store can't be read", kind, want, "error", err)
	refuse(w, http.StatusInternalServerError, "UNKNOWN", "the store can't be read")
}

func (h *Handler) shouldLogMiss(want string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for k, t := range h.missed {
		if now.Sub(t) > missLogInterval {
			delete(h.missed, k)
		}
	}
	if _, said := h.missed[want]; said {
		return false
	}
	h.missed[want] = now
	return true
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string][]problem{"errors": {{code, message}}})
}
