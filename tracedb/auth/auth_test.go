package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// clock is a time that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// secret writes a secret's file.
func secret(t *testing.T, text string) *auth.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := auth.NewFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func reviewer(t *testing.T, c *authtest.Cluster, now func() time.Time, grants ...auth.Grant) *auth.Reviewer {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	r, err := auth.NewReviewer(client, "tracedb", grants, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const recorder = "system:serviceaccount:foundry:step-record"

func TestBearer(t *testing.T) {
	cluster := authtest.NewCluster(t, map[string]authtest.Token{
		"writer": {User: recorder, Audiences: []string{"tracedb"}},
		"other":  {User: "system:serviceaccount:drones:default", Audiences: []string{"tracedb"}},
		"api":    {User: recorder, Audiences: []string{"https://kubernetes.default.svc"}},
	})
	a := auth.New(auth.Options{
		Tokens:         reviewer(t, cluster, nil, auth.Grant{Subject: recorder, Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{tracedb.KindImage}}),
		AdmissionToken: secret(t, "sesame\n"),
	})
	tests := []struct {
		name, header string
		want         tracedb.Identity
		status       int
	}{
		{"nobody", "", tracedb.Identity{}, 200},
		{"writer", "Bearer writer", tracedb.Identity{Name: recorder, Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{tracedb.KindImage}}, 200},
		{"the scheme has no case", "bearer writer", tracedb.Identity{Name: recorder, Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{tracedb.KindImage}}, 200},
		{"known but without a role", "Bearer other", tracedb.Identity{Name: "system:serviceaccount:drones:default"}, 200},
		{"the gatekeeper", "Bearer sesame", tracedb.Identity{Name: auth.AdmissionName, Roles: []tracedb.Role{tracedb.RoleAdmission}}, 200},
		{"wrong audience", "Bearer api", tracedb.Identity{}, 401},
		{"unknown", "Bearer nobody's", tracedb.Identity{}, 401},
		{"a part of the gatekeeper's", "Bearer sesam", tracedb.Identity{}, 401},
		{"another scheme", "Basic d3JpdGVyOng=", tracedb.Identity{}, 401},
		{"no token", "Bearer ", tracedb.Identity{}, 401},
		{"too long", "Bearer " + strings.Repeat("x", 20<<10), tracedb.Identity{}, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, resp := ask(a, tt.header)
			if resp.Code != tt.status {
				t.Fatalf("status %d, want %d: %s", resp.Code, tt.status, resp.Body)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			if tt.status == 401 && len(tt.header) > 15 && strings.Contains(resp.Body.String(), tt.header[7:]) {
				t.Errorf("the answer repeats the token: %s", resp.Body)
			}
		})
	}
}

// ask sends one request through the middleware.
func ask(a *auth.Authenticator, header string) (tracedb.Identity, *httptest.ResponseRecorder) {
	var got tracedb.Identity
	h := a.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = auth.From(r.Context()) }))
	r := httptest.NewRequest(http.MethodGet, "https://trace/", nil)
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return got, w
}

func TestReviewsAreKept(t *testing.T) {
	now := newClock()
	cluster := authtest.NewCluster(t, map[string]authtest.Token{"a": {User: "u", Audiences: []string{"tracedb"}}})
	r := reviewer(t, cluster, now.Now)
	identify := func(token, want string) {
		t.Helper()
		id, err := r.Identify(t.Context(), token)
		got := id.Name
		if err != nil {
			got = tracedb.AsError(err).Code
		}
		if got != want {
			t.Errorf("at %v token %s is %s, want %s", now.Now(), token, got, want)
		}
	}
	for range 5 {
		identify("a", "u")
		identify("wrong", "unauthenticated")
	}
	if n := cluster.Reviews(); n != 2 {
		t.Errorf("the cluster was asked %d times about two tokens", n)
	}
	cluster.Forget("a")
	now.Add(29 * time.Second)
	identify("a", "u")
	now.Add(2 * time.Second)
	identify("a", "unauthenticated")

	// A clock that jumps back must not make a judgement last.
	now.Add(-time.Hour)
	asked := cluster.Reviews()
	identify("a", "unauthenticated")
	if cluster.Reviews() != asked+1 {
		t.Error("an old judgement counted after the clock went back")
	}

	// What the cluster couldn't judge isn't kept.
	cluster.Down(true)
	identify("b", "unavailable")
	cluster.Down(false)
	identify("b", "unauthenticated")
}

// An authenticator that knows nothing of audiences says yes without naming any: that isn't a yes.
func TestAudienceMustBeConfirmed(t *testing.T) {
	cluster := authtest.NewCluster(t, map[string]authtest.Token{"a": {User: "u", Audiences: []string{"tracedb"}}})
	cluster.NoAudiences()
	if id, err := reviewer(t, cluster, nil).Identify(t.Context(), "a"); err == nil {
		t.Errorf("a token whose audience nobody confirmed is %s's", id.Name)
	}
}

func TestConcurrentReviewsShare(t *testing.T) {
	cluster := authtest.NewCluster(t, map[string]authtest.Token{"a": {User: "u", Audiences: []string{"tracedb"}}})
	r := reviewer(t, cluster, nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if id, err := r.Identify(t.Context(), "a"); err != nil || id.Name != "u" {
				t.Errorf("%v, %v", id, err)
			}
		})
	}
	wg.Wait()
	if n := cluster.Reviews(); n > 10 {
		t.Errorf("50 requests with one token asked the cluster %d times", n)
	}
}

// A caller who leaves while the cluster judges is no failure of the service.
func TestCallerLeaves(t *testing.T) {
	cluster := authtest.NewCluster(t, map[string]authtest.Token{"a": {User: "u", Audiences: []string{"tracedb"}}})
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := reviewer(t, cluster, nil).Identify(gone, "a")
	if !errors.Is(err, tracedb.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("identify: %v", err)
	}
}

func TestAdmissionTokenChanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		// As the kubelet does: a new file in place of the old one.
		if err := os.WriteFile(name+"~", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+"~", name); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	f, err := auth.NewFile(name)
	if err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Options{AdmissionToken: f})
	status := func(token string) int { _, w := ask(a, "Bearer "+token); return w.Code }
	if status("first") != 200 || status("other") != 401 {
		t.Error("the first token isn't the one that counts")
	}
	write("other")
	if status("first") != 401 || status("other") != 200 {
		t.Error("the file changed and the old token still counts")
	}
	write(" \n")
	if status("other") != 401 || status("") != 401 {
		t.Error("an empty file lets somebody in")
	}
}

func TestGrants(t *testing.T) {
	tests := []struct {
		name string
		give auth.Grant
		want string
	}{
		{"fine", auth.Grant{Subject: "u", Roles: []tracedb.Role{tracedb.RoleAuditor}}, ""},
		{"public", auth.Grant{Subject: "u", Roles: []tracedb.Role{tracedb.RolePublic}}, ""},
		{"nobody", auth.Grant{Roles: []tracedb.Role{tracedb.RoleAuditor}}, "subject: is missing"},
		{"no role", auth.Grant{Subject: "u", Roles: []tracedb.Role{"root"}}, `roles[0]: "root" is no role`},
		{"no kind", auth.Grant{Subject: "u", Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{"nope"}}, `kinds[0]: "nope" is no kind`},
		{"internal", auth.Grant{Subject: "u", Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{tracedb.KindRead}}, "only the service itself writes read"},
		{"writes nothing", auth.Grant{Subject: "u", Roles: []tracedb.Role{tracedb.RoleWriter}}, "a writer without kinds"},
		{"kinds of no writer", auth.Grant{Subject: "u", Roles: []tracedb.Role{tracedb.RoleAuditor}, Kinds: []tracedb.Kind{tracedb.KindImage}}, "only the role writer has kinds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := tt.give.Check(); err != nil {
				got = err.Error()
			}
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("check = %q, want %q", got, tt.want)
			}
		})
	}
	if _, err := auth.NewReviewer(nil, "", nil, nil); err == nil {
		t.Error("without an audience every token of the cluster would count")
	}
}

func TestRequire(t *testing.T) {
	auditor := tracedb.Identity{Name: "gitea:auditor", Roles: []tracedb.Role{tracedb.RoleAuditor}}
	tests := []struct {
		name string
		who  tracedb.Identity
		role tracedb.Role
		want string
	}{
		{"public for nobody", tracedb.Identity{}, tracedb.RolePublic, ""},
		{"auditor for nobody", tracedb.Identity{}, tracedb.RoleAuditor, "unauthenticated"},
		{"auditor", auditor, tracedb.RoleAuditor, ""},
		{"another role", auditor, tracedb.RoleWriter, "forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := auth.Require(auth.With(t.Context(), tt.who), tt.role); err != nil {
				got = tracedb.AsError(err).Code
			}
			if got != tt.want {
				t.Errorf("require = %q, want %q", got, tt.want)
			}
		})
	}
}

// errorOf reads the error in an answer.
func errorOf(t *testing.T, w *httptest.ResponseRecorder) *tracedb.Error {
	t.Helper()
	var body wire.ErrorBody
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == nil {
		t.Fatalf("no error in %d %s", w.Code, w.Body)
	}
	return body.Error
}
