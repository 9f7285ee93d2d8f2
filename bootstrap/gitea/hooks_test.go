package gitea

import (
	"testing"
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
