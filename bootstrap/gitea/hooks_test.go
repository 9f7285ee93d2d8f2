package gitea

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/internal/giteaclient"
)

// Gitea returns a hook with other names of events than it was created with, and never its secret.
func TestHookIsTheOneThatIsWanted(t *testing.T) {
	want := traceHook([]byte("secret"))
	shown := func(change func(*hook)) hook {
		h := hook{
			ID: 7, Name: want.Name, Type: "gitea", Active: true,
			Events: []string{"push", "pull_request_sync", "pull_request", "pull_request_review"},
			Config: map[string]string{"content_type": "json"},
		}
		change(&h)
		return h
	}
	tests := []struct {
		name string
		give hook
		want bool
	}{
		{"as it was made", shown(func(*hook) {}), true},
		{"another secret", shown(func(h *hook) { h.Name = traceHook([]byte("old")).Name }), false},
		{"switched off", shown(func(h *hook) { h.Active = false }), false},
		{"without reviews", shown(func(h *hook) { h.Events = h.Events[:3] }), false},
		{"for one branch", shown(func(h *hook) { h.BranchFilter = "main" }), false},
		{"as a form", shown(func(h *hook) { h.Config["content_type"] = "form" }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.give.is(want); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// What an earlier build, or an earlier secret, has left goes; what is somebody else's stays.
func TestHooksOfOursAreThereOnce(t *testing.T) {
	want := newHook("foundry", Webhook{"http://listener", []byte("secret")}, "main", "push")
	give := func(id int64, name, url string) hook {
		h := want
		h.ID, h.Name, h.Config = id, name, map[string]string{"url": url, "content_type": "json"}
		return h
	}
	have := []hook{
		give(1, "foundry 01234567", "http://el-foundry"),
		give(2, "foundry 01234567", "http://listener"),
		give(3, want.Name, "http://listener"),
		give(4, want.Name, "http://listener"),
		give(5, "foundry of somebody", "http://elsewhere"),
		give(6, "", "http://elsewhere"),
	}
	var deleted []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodDelete:
			deleted = append(deleted, r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		case http.MethodPost:
			t.Error("another one is made")
		default:
			if err := json.NewEncoder(w).Encode(have); err != nil {
				t.Error(err)
			}
		}
	}))
	defer api.Close()
	client, err := giteaclient.New(t.Context(), giteaclient.Options{URL: api.URL, HTTP: api.Client()})
	if err != nil {
		t.Fatal(err)
	}
	other := newHook("trace", Webhook{"http://el-foundry", nil}, "", "push") // at an address that goes by itself
	other.ID, other.Config["content_type"] = 7, "json"
	have = append(have, other)
	s := &setup{api: client}
	if err := s.ensureHooks(t.Context(), "r", []hook{want, other}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(deleted, []string{"1", "2", "4"}) {
		t.Errorf("deleted: %v", deleted)
	}
}
