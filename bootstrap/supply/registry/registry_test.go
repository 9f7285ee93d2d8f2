package registry

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/bootstrap/supply/store/imagetest"
	"github.com/druppie/druppie-up/internal/ui"
)

func TestFill(t *testing.T) {
	u := newUpstream(t)
	plain, multi := imagetest.Random(t), imagetest.Random(t)
	u.push(t, "docker.io/library/plain:1", plain)
	index := u.pushIndex(t, "quay.io/a/multi:v2", multi)
	pin, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	// The tag moves on, the pin stays.
	u.pushIndex(t, "quay.io/a/multi:v2", imagetest.Random(t))
	s := openStore(t)
	todo := comps("docker.io/library/plain:1", "quay.io/a/multi:v2@"+pin.String(), "druppie.io/mirror:dev")
	todo[0].Images = append(todo[0].Images, component.Image{Name: "registry.k8s.io/in/node:1", Preloaded: true})
	r := u.supply(t, nil)
	if err := r.Fill(t.Context(), s, todo, ui.Discard()); err != nil {
		t.Fatal(err)
	}
	mustHave(t, s, "docker.io/library/plain:1", imagetest.Digest(t, plain))
	mustHave(t, s, "quay.io/a/multi:v2", pin.String())
	if e, err := s.Entry("quay.io/a/multi:v2"); err != nil || TakenUnpinned(e) {
		t.Errorf("a pinned image counts as unpinned: %v, %v", e, err)
	}
	img, err := s.Image("quay.io/a/multi@" + pin.String())
	if err != nil {
		t.Fatal(err)
	}
	if imagetest.Digest(t, img) != imagetest.Digest(t, multi) {
		t.Error("the image of another platform was taken")
	}
	entries, err := s.Entries()
	if err != nil || len(entries) != 2 {
		t.Errorf("%d entries, %v, want 2", len(entries), err)
	}

	u.misbehave(nil)
	if err := r.Fill(t.Context(), s, todo, ui.Discard()); err != nil {
		t.Fatal(err)
	}
	if n := u.count("/"); n != 0 {
		t.Errorf("filling a full store asked for %d things", n)
	}
}

// TestPinHolds has a mirror whose image isn't the pinned one.
func TestPinHolds(t *testing.T) {
	u := newUpstream(t)
	img := imagetest.Random(t)
	u.push(t, "docker.io/a/tool:1", img)
	s := openStore(t)
	todo := comps("docker.io/a/tool:1@sha256:" + strings.Repeat("12", 32))
	if err := u.supply(t, nil).Fill(t.Context(), s, todo, ui.Discard()); err == nil {
		t.Error("another image than the pinned one was taken")
	}
	if _, err := s.Entry("docker.io/a/tool:1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it is in the store: %v", err)
	}
	loose := u.supply(t, func(o *Options) { o.Unpinned = true })
	if err := loose.Fill(t.Context(), s, todo, ui.Discard()); err != nil {
		t.Fatal(err)
	}
	mustHave(t, s, "docker.io/a/tool:1", imagetest.Digest(t, img))
	if e, err := s.Entry("docker.io/a/tool:1"); err != nil || !TakenUnpinned(e) {
		t.Errorf("nothing says that the pin was let go: %v, %v", e, err)
	}
}

func TestFillSurvives(t *testing.T) {
	tests := []struct {
		name  string
		fault func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool
	}{
		{"429 with Retry-After", func(w http.ResponseWriter, _ *http.Request, nth int, _ http.Handler) bool {
			if nth > 1 {
				return false
			}
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}},
		{"500 thrice", func(w http.ResponseWriter, _ *http.Request, nth int, _ http.Handler) bool {
			if nth > 3 {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}},
		{"corrupt blob, same length", func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool {
			if nth > 1 || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			body := answer(next, r)
			body[len(body)/2] ^= 0xff
			_, _ = w.Write(body)
			return true
		}},
		{"blob too long", func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool {
			if nth > 1 || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			_, _ = w.Write(append(answer(next, r), "more"...))
			return true
		}},
		{"corrupt manifest", func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool {
			if nth > 1 || !strings.Contains(r.URL.Path, "/manifests/sha256:") {
				return false
			}
			_, _ = w.Write(append(answer(next, r), ' '))
			return true
		}},
		{"cut off in the middle", func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool {
			if nth > 2 || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			body := answer(next, r)
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(body[:len(body)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		{"stands still", func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool {
			if nth > 1 || !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			body := answer(next, r)
			_, _ = w.Write(body[:1])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpstream(t)
			img := imagetest.Random(t)
			pin, err := u.pushIndex(t, "docker.io/a/tool:1", img).Digest()
			if err != nil {
				t.Fatal(err)
			}
			u.misbehave(tt.fault)
			s := openStore(t)
			r := u.supply(t, func(o *Options) { o.Stall = 300 * time.Millisecond })
			if err := r.Fill(t.Context(), s, comps("docker.io/a/tool:1"), ui.Discard()); err != nil {
				t.Fatal(err)
			}
			mustHave(t, s, "docker.io/a/tool:1", pin.String())
		})
	}
}

// answer is what the registry itself would have sent.
func answer(next http.Handler, r *http.Request) []byte {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	return rec.Body.Bytes()
}

func TestFillFails(t *testing.T) {
	always := func(status int, header ...string) func(http.ResponseWriter, *http.Request, int, http.Handler) bool {
		return func(w http.ResponseWriter, r *http.Request, _ int, _ http.Handler) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			if header != nil {
				w.Header().Set(header[0], header[1])
			}
			w.WriteHeader(status)
			return true
		}
	}
	tests := []struct {
		name    string
		fault   func(w http.ResponseWriter, r *http.Request, nth int, next http.Handler) bool
		refs    []string
		want    string
		atLeast time.Duration // the budget is spent, not given up at once
		within  time.Duration
	}{
		{name: "no such image, all named", refs: []string{"docker.io/a/none:1", "docker.io/a/tool:1", "docker.io/a/gone:1"},
			want: "docker.io/a/gone:1", within: time.Second},
		{name: "forbidden", fault: always(http.StatusForbidden), want: "403", within: time.Second},
		{name: "500 for ever", fault: always(500), want: "gave up", atLeast: 500 * time.Millisecond, within: 4 * time.Second},
		{name: "asked to wait longer than the budget", fault: always(429, "Retry-After", "3600"), want: "429", within: time.Second},
		{name: "corrupt for ever", want: "has digest", within: 2 * time.Second,
			fault: func(w http.ResponseWriter, r *http.Request, _ int, next http.Handler) bool {
				if !strings.Contains(r.URL.Path, "/blobs/") {
					return false
				}
				body := answer(next, r)
				body[0] ^= 0xff
				_, _ = w.Write(body)
				return true
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpstream(t)
			u.push(t, "docker.io/a/tool:1", imagetest.Random(t))
			u.misbehave(tt.fault)
			s := openStore(t)
			if tt.refs == nil {
				tt.refs = []string{"docker.io/a/tool:1"}
			}
			start := time.Now()
			err := u.supply(t, func(o *Options) { o.Budget = time.Second }).Fill(t.Context(), s, comps(tt.refs...), ui.Discard())
			took := time.Since(start)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Fill = %v, want %q in it", err, tt.want)
			}
			if took < tt.atLeast || took > tt.within {
				t.Errorf("took %s, want between %s and %s", took, tt.atLeast, tt.within)
			}
			for _, ref := range tt.refs {
				if ref == "docker.io/a/tool:1" && len(tt.refs) > 1 {
					continue // it was there to be had
				}
				if _, err := s.Entry(ref); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s got a name: %v", ref, err)
				}
			}
		})
	}
}

// TestFillResumes stops a fill when one layer came whole and one half, and
// looks what the next one asks for.
func TestFillResumes(t *testing.T) {
	u := newUpstream(t)
	img, err := random.Image(1<<20, 2)
	if err != nil {
		t.Fatal(err)
	}
	u.push(t, "docker.io/a/tool:1", img)
	layers := imagetest.LayerDigests(t, img)
	s := openStore(t)
	ctx, kill := context.WithCancel(t.Context())
	u.misbehave(func(w http.ResponseWriter, r *http.Request, _ int, next http.Handler) bool {
		if !strings.HasSuffix(r.URL.Path, layers[1]) {
			return false
		}
		body := answer(next, r)
		_, _ = w.Write(body[:len(body)/2])
		w.(http.Flusher).Flush()
		for {
			_, whole := os.Stat(blobFile(s, layers[0]))
			part, err := os.Stat(filepath.Join(s.Dir(), "tmp", "part-"+strings.TrimPrefix(layers[1], "sha256:")))
			if whole == nil && err == nil && part.Size() > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		kill()
		<-r.Context().Done()
		return true
	})
	if err := u.supply(t, nil).Fill(ctx, s, comps("docker.io/a/tool:1"), ui.Discard()); !errors.Is(err, context.Canceled) {
		t.Fatalf("the stopped fill: %v", err)
	}
	if _, err := s.Entry("docker.io/a/tool:1"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("half an image has a name: %v", err)
	}
	var asked string
	u.misbehave(func(w http.ResponseWriter, r *http.Request, _ int, next http.Handler) bool {
		if !strings.HasSuffix(r.URL.Path, layers[1]) {
			return false
		}
		asked = r.Header.Get("Range")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(answer(next, withoutRange(r))))
		return true
	})
	if err := u.supply(t, nil).Fill(t.Context(), s, comps("docker.io/a/tool:1"), ui.Discard()); err != nil {
		t.Fatal(err)
	}
	mustHave(t, s, "docker.io/a/tool:1", imagetest.Digest(t, img))
	if n := u.count(layers[0]); n != 0 {
		t.Errorf("the layer that was there was fetched again %d times", n)
	}
	if !strings.HasPrefix(asked, "bytes=") {
		t.Errorf("the half layer was asked for with Range %q", asked)
	}
}

// blobFile is where an OCI image layout has a blob.
func blobFile(s *store.Store, digest string) string {
	return filepath.Join(s.Dir(), "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

func withoutRange(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	return r
}

// TestFillTwice has two fills at once; no blob may be fetched by both.
func TestFillTwice(t *testing.T) {
	u := newUpstream(t)
	img := imagetest.Random(t)
	u.push(t, "docker.io/a/tool:1", img)
	u.misbehave(nil)
	dir := openStore(t).Dir()
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			s, err := store.Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if err := u.supply(t, nil).Fill(t.Context(), s, comps("docker.io/a/tool:1"), ui.Discard()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, s, "docker.io/a/tool:1", imagetest.Digest(t, img))
	for _, l := range imagetest.LayerDigests(t, img) {
		if n := u.count(l); n != 1 {
			t.Errorf("%s was fetched %d times", l, n)
		}
	}
}

func TestDamagedIsFetchedAgain(t *testing.T) {
	u := newUpstream(t)
	img := imagetest.Random(t)
	u.push(t, "docker.io/a/tool:1", img)
	s := openStore(t)
	r := u.supply(t, nil)
	fill := func() {
		t.Helper()
		if err := r.Fill(t.Context(), s, comps("docker.io/a/tool:1"), ui.Discard()); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	bad := imagetest.LayerDigests(t, img)[1]
	raw, err := os.ReadFile(blobFile(s, bad))
	if err != nil {
		t.Fatal(err)
	}
	raw[3] ^= 1
	if err := os.WriteFile(blobFile(s, bad), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	problems, err := s.Verify(t.Context(), store.VerifyOptions{Remove: true})
	if err != nil || len(problems) != 1 || problems[0].Ref != "docker.io/a/tool:1" || problems[0].Digest != bad {
		t.Fatalf("problems %v, %v", problems, err)
	}
	u.misbehave(nil)
	fill()
	mustHave(t, s, "docker.io/a/tool:1", imagetest.Digest(t, img))
	if n := u.count("/blobs/"); n != 1 {
		t.Errorf("%d blobs were fetched, want the damaged one alone", n)
	}
}

func TestLock(t *testing.T) {
	u := newUpstream(t)
	img := imagetest.Random(t)
	u.push(t, "docker.io/a/tool:1", img)
	got := u.supply(t, nil).Lock(t.Context(), comps("docker.io/a/tool:1", "docker.io/a/none:1"))
	if len(got) != 2 || got[0].Found != imagetest.Digest(t, img) || got[0].Error != "" || got[1].Error == "" || got[1].Found != "" {
		t.Errorf("Lock = %+v", got)
	}
}
