package pipelines_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	triggers "github.com/tektoncd/triggers/pkg/apis/triggers/v1beta1"
	"github.com/tektoncd/triggers/pkg/interceptors/cel"
	"github.com/tektoncd/triggers/pkg/interceptors/github"
	"github.com/tektoncd/triggers/pkg/template"
	appsv1 "k8s.io/api/apps/v1"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/names"
)

// secrets knows one Secret.
type secrets map[string]string

func (s secrets) Get(_ context.Context, _ string, ref *triggers.SecretRef) ([]byte, error) {
	v, ok := s[ref.SecretName+"/"+ref.SecretKey]
	if !ok {
		return nil, errors.New("no such secret")
	}
	return []byte(v), nil
}

const commit = "0123456789abcdef0123456789abcdef01234567"

func push(ref, repository, after string) string {
	_, name, _ := strings.Cut(repository, "/")
	return fmt.Sprintf(`{"ref":%q,"after":%q,"repository":{"name":%q,"full_name":%q,"clone_url":"https://evil.example/x.git"}}`,
		ref, after, name, repository)
}

func sign(body, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// TestWebhook sends webhooks through Tekton's own interceptors, as the trigger
// configures them, and looks at the run that would start.
func TestWebhook(t *testing.T) {
	const key = "k3y"
	good := push("refs/heads/main", "druppie/drone-service", commit)
	tests := []struct {
		name, event, body, signature string
		starts                       bool
	}{
		{"a push to main", "push", good, sign(good, key), true},
		{"no signature", "push", good, "", false},
		{"a signature with another key", "push", good, sign(good, "other"), false},
		{"the signature of another body", "push", good, sign("{}", key), false},
		{"another event", "pull_request", good, sign(good, key), false},
		with("another branch", push("refs/heads/wip", "druppie/drone-service", commit), key),
		with("a tag called main", push("refs/tags/main", "druppie/drone-service", commit), key),
		with("another repository", push("refs/heads/main", "druppie/fleet", commit), key),
		with("a fork", push("refs/heads/main", "builder/drone-service", commit), key),
		with("main was deleted", push("refs/heads/main", "druppie/drone-service", strings.Repeat("0", 40)), key),
		with("a hash that is none", push("refs/heads/main", "druppie/drone-service", "main; rm -rf /"), key),
		with("no hash", `{"ref":"refs/heads/main","repository":{"full_name":"druppie/drone-service"}}`, key),
	}
	docs := documents(t)
	var trigger triggers.Trigger
	parse(t, docs["Trigger/release"], &trigger)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{"X-Github-Event": {tt.event}, "Content-Type": {"application/json"}}
			if tt.signature != "" {
				header.Set("X-Hub-Signature-256", tt.signature)
			}
			why := intercept(t, trigger, tt.body, header, secrets{"webhook-hmac/secret": key})
			if started := why == ""; started != tt.starts {
				t.Fatalf("starts a run: %v (%s)", started, why)
			}
			if tt.starts {
				checkRun(t, docs, tt.body, header)
			}
		})
	}
}

func with(name, body, key string) struct {
	name, event, body, signature string
	starts                       bool
} {
	return struct {
		name, event, body, signature string
		starts                       bool
	}{name, "push", body, sign(body, key), false}
}

// What Gitea has a webhook for is built when it comes onto main, and watched in case its event is lost.
func TestEveryServiceIsBuiltAndWatched(t *testing.T) {
	docs := documents(t)
	var trigger triggers.Trigger
	parse(t, docs["Trigger/release"], &trigger)
	var watch appsv1.Deployment
	if err := sigsyaml.UnmarshalStrict(docs["Deployment/watch"], &watch); err != nil {
		t.Fatal(err)
	}
	var want, watched []string
	for _, service := range names.Services() {
		repository := names.Organisation + "/" + service
		want = append(want, repository)
		body := push("refs/heads/main", repository, commit)
		header := http.Header{"X-Github-Event": {"push"}, "Content-Type": {"application/json"}, "X-Hub-Signature-256": {sign(body, "k3y")}}
		if why := intercept(t, trigger, body, header, secrets{"webhook-hmac/secret": "k3y"}); why != "" {
			t.Errorf("a push to %s starts nothing: %s", repository, why)
		}
	}
	for _, arg := range watch.Spec.Template.Spec.Containers[0].Command {
		if repository, ok := strings.CutPrefix(arg, "--repository="); ok {
			watched = append(watched, repository)
		}
	}
	if diff := cmp.Diff(want, watched); diff != "" {
		t.Errorf("what is watched:\n%s", diff)
	}
}

// intercept says why the interceptors stop an event; empty if they let it pass.
func intercept(t *testing.T, trigger triggers.Trigger, body string, header http.Header, known secrets) string {
	t.Helper()
	available := map[string]triggers.InterceptorInterface{
		"github": github.NewInterceptor(known),
		"cel":    cel.NewInterceptor(known),
	}
	for _, i := range trigger.Spec.Interceptors {
		params := map[string]any{}
		for _, p := range i.Params {
			var v any
			if err := json.Unmarshal(p.Value.Raw, &v); err != nil {
				t.Fatal(err)
			}
			params[p.Name] = v
		}
		resp := available[i.Ref.Name].Process(context.Background(), &triggers.InterceptorRequest{
			Body: body, Header: header, InterceptorParams: params,
			Context: &triggers.TriggerContext{TriggerID: "namespaces/foundry/triggers/release"},
		})
		if !resp.Continue {
			return i.Ref.Name + ": " + resp.Status.Message
		}
	}
	return ""
}

// checkRun fills the template in as the listener does.
func checkRun(t *testing.T, docs map[string][]byte, body string, header http.Header) {
	t.Helper()
	var binding triggers.TriggerBinding
	parse(t, docs["TriggerBinding/release"], &binding)
	var tt triggers.TriggerTemplate
	parse(t, docs["TriggerTemplate/release"], &tt)
	params, err := template.ResolveParams(template.ResolvedTrigger{
		BindingParams: binding.Spec.Params, TriggerTemplate: &tt,
	}, []byte(body), header, nil, template.TriggerContext{})
	if err != nil {
		t.Fatal(err)
	}
	resources := template.ResolveResources(&tt, params)
	if len(resources) != 1 {
		t.Fatalf("%d objects", len(resources))
	}
	var run v1.PipelineRun
	if err := sigsyaml.UnmarshalStrict(resources[0], &run); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"generateName": run.GenerateName}
	for _, p := range run.Spec.Params {
		got[p.Name] = p.Value.StringVal
	}
	for _, l := range []string{"druppie.io/repository", "druppie.io/commit", "app.kubernetes.io/part-of"} {
		got[l] = run.Labels[l]
	}
	want := map[string]string{
		"generateName": "drone-service-", "repository": "druppie/drone-service", "revision": commit, "tenant": "drones",
		"druppie.io/repository": "drone-service", "druppie.io/commit": commit, "app.kubernetes.io/part-of": "druppie",
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
}
