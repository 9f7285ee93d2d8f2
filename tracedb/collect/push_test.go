package collect

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

var none = strings.Repeat("0", 40)

// pushed is Gitea's webhook of a push to a branch of a service.
func pushed(t *testing.T, h http.Handler, branch, before, after string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"ref": "refs/heads/" + branch, "before": before, "after": after,
		"commits": []any{}, "head_commit": map[string]any{"id": after, "message": "m", "timestamp": noon},
		"repository": map[string]any{"full_name": "druppie/x"}, "pusher": map[string]any{"login": "builder"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := post(h, "POST", string(body), "Content-Type", "application/json", "X-Gitea-Event-Type", "push", "X-Gitea-Signature", hmacOf(secret, string(body)))
	if w.Code != http.StatusAccepted {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
}

func TestPushes(t *testing.T) {
	type push struct{ branch, before, after string }
	first, on := push{"main", none, hashA}, push{"main", hashA, hashB}
	back := push{"main", hashB, hashA}
	tests := []struct {
		name   string
		found  []string // commits of main that GiteaPoller found before any push was recorded
		pushes []push
		want   []string
	}{
		{"one after the other", nil, []push{first, on}, []string{"main 0..a", "main a..b"}},
		{"set back", nil, []push{first, on, back}, []string{"main 0..a", "main a..b", "main b..a"}},
		{"set back, on, and back", nil, []push{first, on, back, on, back}, []string{"main 0..a", "main a..b", "main b..a", "main a..b", "main b..a"}},
		{"set back, recorded twice", nil, []push{first, on, on, back, back}, []string{"main 0..a", "main a..b", "main b..a"}},
		{"found before", []string{hashA, hashB}, []push{first, on}, []string{"main 0..a", "main 0..b"}},
		{"found before, and set back", []string{hashA, hashB}, []push{back}, []string{"main 0..a", "main 0..b", "main b..a"}},
		{"on another branch", nil, []push{first, {"fix", none, hashB}, on, {"fix", hashB, hashA}}, []string{"main 0..a", "fix 0..b", "main a..b", "fix b..a"}},
		{"another branch begins there", nil, []push{first, on, {"fix", none, hashA}, on}, []string{"main 0..a", "main a..b", "fix 0..a"}},
		{"from what nobody heard of", nil, []push{first, {"main", strings.Repeat("c", 40), hashA}}, []string{"main 0..a"}},
		{"on a branch of odd letters", nil, []push{{"féature", none, hashA}, {"féature", hashA, hashB}, {"féature", hashB, hashA}}, []string{"féature 0..a", "féature a..b", "féature b..a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			f := newPoller(t, tr, &fakeGitea{})
			for _, hash := range tt.found {
				if err := f.commit(t.Context(), commit{repository: "druppie/x", branch: names.MainBranch, hash: hash, at: noon}); err != nil {
					t.Fatal(err)
				}
			}
			for _, p := range tt.pushes {
				pushed(t, newHook(tr, f), p.branch, p.before, p.after) // each after a restart
			}
			for _, p := range tt.pushes { // GiteaPoller polls, and knows them all
				if err := f.commit(t.Context(), commit{repository: "druppie/x", branch: names.MainBranch, hash: p.after, at: noon}); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, r := range tr.records() {
				c := payload[tracedb.Commit](t, r.Payload)
				got = append(got, c.Branch+" "+(c.Before + "0")[:1]+".."+c.Commit[:1])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pushes (-want +got):\n%s", diff)
			}
		})
	}
}
