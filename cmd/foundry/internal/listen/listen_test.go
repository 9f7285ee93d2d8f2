package listen

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/internal/tekton/tektontest"
	"github.com/druppie/druppie-up/pipelines"
)

const (
	secret  = "k3y"
	commit  = "0123456789abcdef0123456789abcdef01234567"
	service = "druppie/drone-service"
)

func pushed(ref, repository, after string) string {
	_, name, _ := strings.Cut(repository, "/")
	return fmt.Sprintf(`{"ref":%q,"after":%q,"repository":{"name":%q,"full_name":%q,"clone_url":"https://evil.example/x.git"}}`,
		ref, after, name, repository)
}

func sign(body, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// release is the trigger that the platform has.
func release(t testing.TB) Trigger {
	t.Helper()
	data, err := fs.ReadFile(pipelines.FS, "release/trigger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// As it is rendered for the platform's tenants.
	data = bytes.Replace(data, []byte("${services}"), []byte(`{"druppie/drone-service":"drones","druppie/level-service":"drones","druppie/pump":"water"}`), 1)
	trigger, err := ReadTrigger(data)
	if err != nil {
		t.Fatal(err)
	}
	return trigger
}

// listener is one in a cluster without runs.
func listener(t testing.TB) (*Listener, *fake.FakeDynamicClient) {
	client := tektontest.Client(t)
	return New(Options{
		Triggers: []Trigger{release(t)}, Tekton: client, Namespace: "foundry",
		Secret: func() (string, error) { return secret, nil }, Log: func(string) {},
	}), client
}

func send(l *Listener, event, body string, signatures ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(HeaderEvent, event)
	for _, s := range signatures {
		r.Header.Add(HeaderSignature, s)
	}
	w := httptest.NewRecorder()
	l.ServeHTTP(w, r)
	return w
}

// started are the runs that were made.
func started(client *fake.FakeDynamicClient) (runs []runtime.Object) {
	for _, a := range client.Actions() {
		if c, ok := a.(k8stesting.CreateAction); ok && a.GetResource() == tekton.PipelineRuns {
			runs = append(runs, c.GetObject())
		}
	}
	return runs
}

// TestEvents holds what starts a release to the platform's own trigger.
func TestEvents(t *testing.T) {
	const main = "refs/heads/main"
	good := pushed(main, service, commit)
	signed := func(name, event, body string, status int) struct {
		name, event, body string
		signatures        []string
		status            int
	} {
		return struct {
			name, event, body string
			signatures        []string
			status            int
		}{name, event, body, []string{sign(body, secret)}, status}
	}
	tests := []struct {
		name, event, body string
		signatures        []string
		status            int
	}{
		signed("a push to main", "push", good, http.StatusAccepted),
		{"no signature", "push", good, nil, http.StatusUnauthorized},
		{"an empty signature", "push", good, []string{""}, http.StatusUnauthorized},
		{"a signature with another key", "push", good, []string{sign(good, "other")}, http.StatusUnauthorized},
		{"a signature with no key", "push", good, []string{sign(good, "")}, http.StatusUnauthorized},
		{"the signature of another body", "push", good, []string{sign("{}", secret)}, http.StatusUnauthorized},
		{"two signatures", "push", good, []string{sign(good, secret), sign(good, "other")}, http.StatusUnauthorized},
		{"no JSON", "push", "{", []string{sign("{", secret)}, http.StatusBadRequest},
		{"more than an event has", "push", strings.Repeat(" ", maxEvent+1), []string{"00"}, http.StatusRequestEntityTooLarge},
		signed("another event", "create", good, http.StatusOK),
		signed("a pull request", "pull_request", good, http.StatusOK),
		signed("another branch", "push", pushed("refs/heads/wip", service, commit), http.StatusOK),
		signed("a tag called main", "push", pushed("refs/tags/main", service, commit), http.StatusOK),
		signed("another repository", "push", pushed(main, "druppie/fleet", commit), http.StatusOK),
		signed("a fork", "push", pushed(main, "builder/drone-service", commit), http.StatusOK),
		signed("main was deleted", "push", pushed(main, service, strings.Repeat("0", 40)), http.StatusOK),
		signed("a hash that is none", "push", pushed(main, service, "main; rm -rf /"), http.StatusOK),
		signed("a hash that is too short", "push", pushed(main, service, commit[:39]), http.StatusOK),
		signed("no hash", "push", `{"ref":"refs/heads/main","repository":{"full_name":"druppie/drone-service"}}`, http.StatusOK),
		signed("no repository", "push", `{"ref":"refs/heads/main","after":"`+commit+`"}`, http.StatusOK),
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, client := listener(t)
			w := send(l, tt.event, tt.body, tt.signatures...)
			if w.Code != tt.status || (len(started(client)) == 1) != (tt.status == http.StatusAccepted) || len(client.Actions()) != len(started(client)) {
				t.Errorf("%d %s, %d runs: %v", w.Code, w.Body, len(started(client)), client.Actions())
			}
		})
	}
}

func TestOnlyEventsAreAnswered(t *testing.T) {
	l, client := listener(t)
	good := pushed("refs/heads/main", service, commit)
	for _, tt := range []struct {
		method, path, kind string
		status             int
	}{
		{http.MethodGet, "/", "application/json", http.StatusNotFound},
		{http.MethodPost, "/v1/secrets", "application/json", http.StatusNotFound},
		{http.MethodPost, "/", "text/plain", http.StatusUnsupportedMediaType},
		{http.MethodPost, "/", "", http.StatusUnsupportedMediaType},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(good))
		r.Header.Set("Content-Type", tt.kind)
		r.Header.Set(HeaderEvent, "push")
		r.Header.Set(HeaderSignature, sign(good, secret))
		w := httptest.NewRecorder()
		if l.ServeHTTP(w, r); w.Code != tt.status {
			t.Errorf("%s %s as %q: %d", tt.method, tt.path, tt.kind, w.Code)
		}
	}
	if len(client.Actions()) > 0 {
		t.Errorf("it did %v", client.Actions())
	}
}

// The secret is the one of now: whoever changes it needs to restart nothing, and without one nobody can sign.
func TestSecretMayChange(t *testing.T) {
	l, client := listener(t)
	good := pushed("refs/heads/main", service, commit)
	for _, now := range []struct {
		secret string
		err    error
		status int
	}{
		{"another", nil, http.StatusUnauthorized},
		{"", nil, http.StatusServiceUnavailable},
		{secret, errors.New("no such file"), http.StatusServiceUnavailable},
	} {
		l.Options.Secret = func() (string, error) { return now.secret, now.err }
		for _, key := range []string{secret, ""} {
			if w := send(l, "push", good, sign(good, key)); w.Code != now.status || len(client.Actions()) > 0 {
				t.Errorf("secret %q (%v), signed with %q: %d", now.secret, now.err, key, w.Code)
			}
		}
	}
}

// More events than fit into memory are refused unread.
func TestTooManyAtOnce(t *testing.T) {
	l, client := listener(t)
	for range maxAtOnce {
		l.places <- struct{}{}
	}
	good := pushed("refs/heads/main", service, commit)
	if w := send(l, "push", good, sign(good, secret)); w.Code != http.StatusServiceUnavailable || len(client.Actions()) > 0 {
		t.Errorf("%d", w.Code)
	}
	<-l.places
	if w := send(l, "push", good, sign(good, secret)); w.Code != http.StatusAccepted {
		t.Errorf("with a place: %d", w.Code)
	}
}

// TestRunIsWhatTheTriggerSays has Tekton check the run.
func TestRunIsWhatTheTriggerSays(t *testing.T) {
	for name, tenant := range map[string]string{"drone-service": "drones", "level-service": "drones", "pump": "water"} {
		l, client := listener(t)
		body := pushed("refs/heads/main", names.Organisation+"/"+name, commit)
		if w := send(l, "push", body, sign(body, secret)); w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), commit) {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		var run v1.PipelineRun
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(started(client)[0])
		if err == nil {
			err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(raw, &run, true)
		}
		if err != nil {
			t.Fatal(err)
		}
		named := run.DeepCopy()
		named.Name = "named-by-the-server"
		named.SetDefaults(t.Context())
		if err := named.Validate(t.Context()); err != nil {
			t.Error(err)
		}
		got := map[string]string{"generateName": run.GenerateName, "namespace": run.Namespace, "pipeline": run.Spec.PipelineRef.Name}
		for _, p := range run.Spec.Params {
			got[p.Name] = p.Value.StringVal
		}
		for _, l := range []string{names.LabelRepository, names.LabelCommit, "app.kubernetes.io/part-of"} {
			got[l] = run.Labels[l]
		}
		want := map[string]string{
			"generateName": name + "-", "namespace": "foundry", "pipeline": "release",
			"repository": "druppie/" + name, "revision": commit, "tenant": tenant,
			names.LabelRepository: name, names.LabelCommit: commit, "app.kubernetes.io/part-of": "druppie",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// What starts something on main is watched, each repository once.
func TestRepositories(t *testing.T) {
	other := release(t)
	other.Branch, other.Services = "next", map[string]string{"druppie/next": "drones"}
	got := Repositories([]Trigger{release(t), other, release(t)}, "main")
	if want := []string{"druppie/drone-service", "druppie/level-service", "druppie/pump"}; !cmp.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Whoever sends events learns nothing of the API server.
func TestFaultIsKept(t *testing.T) {
	l, client := listener(t)
	client.PrependReactor("create", "pipelineruns", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, fmt.Errorf("dial 10.96.0.1")
	})
	var logged []string
	l.Log = func(line string) { logged = append(logged, line) }
	body := pushed("refs/heads/main", service, commit)
	w := send(l, "push", body, sign(body, secret))
	if w.Code != http.StatusBadGateway || strings.Contains(w.Body.String(), "10.96") || len(logged) != 1 || !strings.Contains(logged[0], "10.96") {
		t.Errorf("%d %s; logged %q", w.Code, w.Body, logged)
	}
}

func TestReadTriggerRefuses(t *testing.T) {
	const good = `
branch: main
services: {a/b: c}
run:
  apiVersion: tekton.dev/v1
  kind: PipelineRun
  metadata: {generateName: $(name)-}
  spec: {params: [{name: revision, value: $(revision)}]}
`
	if _, err := ReadTrigger([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"branch: main", "branch: ''", "branch and services"},
		{"{a/b: c}", "{}", "branch and services"},
		{"{a/b: c}", "{b: c}", "isn't owner/name"},
		{"{a/b: c}", "{a/b: ''}", "isn't owner/name"},
		{"{a/b: c}", "{a/b/c: c}", "isn't owner/name"},
		{"kind: PipelineRun", "kind: TaskRun", "a PipelineRun"},
		{"generateName: $(name)-", "name: one", "generateName"},
		{"$(revision)", "$(commit)", `"$(commit)"`},
		{"branch: main", "branches: [main]", "unknown field"},
	} {
		if _, err := ReadTrigger([]byte(strings.Replace(good, tt.old, tt.new, 1))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.new, err, tt.want)
		}
	}
}

// recorded is an event as Gitea sent it.
func recorded(t *testing.T, data []byte) (kind string, body []byte) {
	t.Helper()
	for _, f := range txtar.Parse(data).Files {
		switch f.Name {
		case "header":
			for line := range strings.Lines(string(f.Data)) {
				if value, ok := strings.CutPrefix(line, HeaderEvent+": "); ok {
					kind = strings.TrimSpace(value)
				}
			}
		case "body.json":
			body = f.Data
		}
	}
	return kind, body
}

// What Gitea itself sends is read as it is meant.
func TestReadWhatGiteaSends(t *testing.T) {
	const sent = "../../../../tracedb/collect/testdata/gitea/"
	for file, want := range map[string]push{
		"push-main":       {service, "main", "*"},
		"push-branch":     {service, "*", "*"},
		"push-tag":        {},
		"pull-opened":     {},
		"pull-sync":       {},
		"pull-merged":     {},
		"review-approved": {},
	} {
		data, err := os.ReadFile(sent + file + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		kind, body := recorded(t, data)
		got, err := read(kind, body)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if want.commit == "*" && isCommit(got.commit) {
			want.commit = got.commit
		}
		if want.branch == "*" && got.branch != "" && got.branch != "main" {
			want.branch = got.branch
		}
		if got != want {
			t.Errorf("%s (%s): %+v, want %+v", file, kind, got, want)
		}
	}
}

// Whatever is signed, only a whole hash on a branch of a listed repository starts something.
func FuzzEvent(f *testing.F) {
	f.Add("push", pushed("refs/heads/main", service, commit))
	f.Add("pull_request", pushed("refs/heads/main", service, commit))
	f.Add("push", `{"ref":1}`)
	listed := release(f).Services
	f.Fuzz(func(t *testing.T, kind, body string) {
		l, client := listener(t)
		send(l, kind, body, sign(body, secret))
		for _, run := range started(client) {
			p, err := read(kind, []byte(body))
			if err != nil || listed[p.repository] == "" || p.branch != "main" || !isCommit(p.commit) || !strings.Contains(fmt.Sprint(run), p.commit) {
				t.Errorf("%+v (%v) starts %v", p, err, run)
			}
		}
	})
}
