package registry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/ui"
)

func TestAvailable(t *testing.T) {
	u := newUpstream(t)
	if err := u.supply(t, nil).Available(t.Context()); err != nil {
		t.Error(err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	r := u.supply(t, func(o *Options) { o.Mirror = strings.TrimPrefix(gone.URL, "http://") })
	if err := r.Available(t.Context()); err == nil {
		t.Error("a registry that is gone is available")
	}
}

func TestMirrorNames(t *testing.T) {
	tests := []struct{ mirror, upstream, want string }{
		{"", "docker.io/library/a", "https://index.docker.io/library/a"},
		{"", "quay.io/a/b", "https://quay.io/a/b"},
		{"localhost:5000", "docker.io/library/a", "http://localhost:5000/docker.io/library/a"},
		{"http://mirror.example.org/cache/", "quay.io/a/b", "http://mirror.example.org/cache/quay.io/a/b"},
		{"https://mirror.example.org", "r.example:5000/a/b", "https://mirror.example.org/r.example-5000/a/b"},
	}
	for _, tt := range tests {
		r, err := New(Options{Mirror: tt.mirror})
		if err != nil {
			t.Fatal(err)
		}
		repo, err := r.source(tt.upstream)
		if err != nil {
			t.Fatal(err)
		}
		if got := repo.Scheme() + "://" + repo.RegistryStr() + "/" + repo.RepositoryStr(); got != tt.want {
			t.Errorf("%q, %s: %s, want %s", tt.mirror, tt.upstream, got, tt.want)
		}
	}
	if _, err := New(Options{Mirror: "not a host"}); ui.ExitCode(err) != 2 {
		t.Errorf("a bad mirror: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	got := map[string]time.Duration{}
	for _, v := range []string{"", "7", "-1", "soon", "Thu, 01 Jan 2026 00:01:00 GMT", "Wed, 31 Dec 2025 00:00:00 GMT"} {
		got[v] = retryAfter(http.Header{"Retry-After": {v}}, now)
	}
	want := map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0,
		"Thu, 01 Jan 2026 00:01:00 GMT": time.Minute, "Wed, 31 Dec 2025 00:00:00 GMT": 0}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
