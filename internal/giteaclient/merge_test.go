package giteaclient_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/internal/giteaclient"
)

// TestMerge: what Gitea says for now is asked again, what it says for good isn't.
func TestMerge(t *testing.T) {
	type answer struct {
		status  int
		message string
	}
	for _, tt := range []struct {
		name    string
		answers []answer
		want    string // the error; empty: merged
	}{
		{"at once", []answer{{200, ""}}, ""},
		{"it works that out yet", []answer{{405, "Please try again later"}, {502, ""}, {200, ""}}, ""},
		{"another came first", []answer{{409, "merge push out of date"}, {409, "PushRejected without remote error message"}, {200, ""}}, ""},
		{"another commit than the reviewed one", []answer{{409, "head out of date"}}, "head out of date"},
		{"a conflict", []answer{{409, "CONFLICT (content)"}}, "CONFLICT"},
		{"nobody may", []answer{{403, "no"}}, "no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var body map[string]string
				err := json.NewDecoder(r.Body).Decode(&body)
				if err != nil || r.URL.Path != "/api/v1/repos/o/r/pulls/7/merge" || body["Do"] != "squash" || body["head_commit_id"] != "abc" {
					t.Errorf("%s: %v, %v", r.URL.Path, body, err)
				}
				a := tt.answers[min(asked, len(tt.answers)-1)]
				asked++
				w.WriteHeader(a.status)
				_ = json.NewEncoder(w).Encode(map[string]string{"message": a.message})
			}))
			defer server.Close()
			c, err := giteaclient.New(t.Context(), giteaclient.Options{URL: server.URL, HTTP: server.Client(), Token: giteaclient.Token("t")})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Merge(t.Context(), "o", "r", 7, giteaclient.Merge{Head: "abc", Title: "t"})
			if asked != len(tt.answers) || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("asked %d times: %v", asked, err)
			}
		})
	}
	if giteaclient.Raced(errors.New("merge push out of date")) {
		t.Error("what Gitea didn't say")
	}
}
