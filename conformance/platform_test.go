package conformance_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/tekton"
	"github.com/druppie/druppie-up/scenarios/platform"
)

var (
	policyKind    = schema.GroupVersionKind{Group: "policies.kyverno.io", Version: "v1", Kind: "ValidatingPolicy"}
	policyRes     = schema.GroupVersionResource{Group: "policies.kyverno.io", Version: "v1", Resource: "validatingpolicies"}
	kustomKind    = schema.GroupVersionKind{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Kind: "Kustomization"}
	deploymentRes = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	kustomRes     = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
	errConnected  = errors.New("connection lost")
)

func policyObject(action string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"validationActions": []any{action}, "webhookConfiguration": map[string]any{"timeoutSeconds": int64(20)},
	}}}
	o.SetGroupVersionKind(policyKind)
	o.SetName("non-root")
	return o
}

// fixture is a platform in which Flux puts the policy back when it reconciles and isn't suspended.
type fixture struct {
	conformance.Platform
	dynamic    *dynamicfake.FakeDynamicClient
	protection map[string]any
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{protection: map[string]any{"enable_push": false, "required_approvals": float64(1), "updated_at": "monday"}}
	part := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	part.SetGroupVersionKind(kustomKind)
	part.SetNamespace("flux-system")
	part.SetName("policies")
	f.dynamic = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{policyRes: "ValidatingPolicyList", kustomRes: "KustomizationList", tekton.PipelineRuns: "PipelineRunList", deploymentRes: "DeploymentList"}, part, policyObject("Deny"))
	f.dynamic.PrependReactor("get", "kustomizations", func(k8stesting.Action) (bool, runtime.Object, error) {
		o, err := f.dynamic.Tracker().Get(kustomRes, "flux-system", "policies")
		if err != nil {
			return true, nil, err
		}
		u := o.(*unstructured.Unstructured).DeepCopy()
		if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
			return true, u, nil
		}
		restored := policyObject("Deny")
		if err := f.dynamic.Tracker().Update(policyRes, restored, ""); err != nil {
			if err := f.dynamic.Tracker().Create(policyRes, restored, ""); err != nil {
				return true, nil, err
			}
		}
		u.Object["status"] = map[string]any{
			"lastHandledReconcileAt": u.GetAnnotations()["reconcile.fluxcd.io/requestedAt"],
			"conditions":             []any{map[string]any{"type": "Ready", "status": "True"}},
		}
		return true, u, nil
	})
	mapper := apimeta.NewDefaultRESTMapper(nil)
	mapper.Add(policyKind, apimeta.RESTScopeRoot)
	mapper.Add(kustomKind, apimeta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, apimeta.RESTScopeNamespace)
	gitea := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			if err := json.NewDecoder(r.Body).Decode(&f.protection); err != nil {
				t.Error(err)
			}
			f.protection["updated_at"] = "tuesday"
		}
		var answer any = f.protection
		if strings.HasSuffix(r.URL.Path, "/list") {
			item := maps.Clone(f.protection)
			item["id"], item["name_pattern"], item["config"] = 1000001, "*", map[string]any{"url": "this"}
			answer = []any{map[string]any{"id": 1, "name_pattern": "v*", "config": map[string]any{"url": "that"}}, item}
		} else if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/list/") && !strings.HasSuffix(r.URL.Path, "/1000001") {
			t.Errorf("%s isn't the item that was meant", r.URL.Path)
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(gitea.Close)
	f.Platform = conformance.Platform{
		Kube: kubefake.NewClientset(), Dynamic: f.dynamic, Mapper: mapper,
		Gitea: func(ctx context.Context) (*giteaclient.Client, error) {
			return giteaclient.New(ctx, giteaclient.Options{URL: gitea.URL, HTTP: gitea.Client()})
		},
	}
	return f
}

func (f *fixture) action(t *testing.T) string {
	t.Helper()
	o, err := f.dynamic.Tracker().Get(policyRes, "", "non-root")
	if err != nil {
		return "gone"
	}
	actions, _, err := unstructured.NestedStringSlice(o.(*unstructured.Unstructured).Object, "spec", "validationActions")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(actions, ",")
}

func (f *fixture) suspended(t *testing.T) bool {
	t.Helper()
	o, err := f.dynamic.Tracker().Get(kustomRes, "flux-system", "policies")
	if err != nil {
		t.Fatal(err)
	}
	yes, _, _ := unstructured.NestedBool(o.(*unstructured.Unstructured).Object, "spec", "suspend")
	return yes
}

func mutation(parts []string, change ...conformance.Change) conformance.Mutation {
	return conformance.Mutation{Name: "weaker", Control: "F6.3", Parts: parts, Change: change}
}

func policyChange(patch ...map[string]any) conformance.Change {
	return conformance.Change{APIVersion: "policies.kyverno.io/v1", Kind: "ValidatingPolicy", Name: "non-root", Patch: patch}
}

var audit = map[string]any{"op": "replace", "path": "/spec/validationActions", "value": []any{"Audit"}}

func TestMutationIsSeenAndUndone(t *testing.T) {
	item := conformance.Change{Gitea: &conformance.GiteaChange{
		Path: "/list", Where: map[string]string{"name_pattern": "*"}, Set: map[string]any{"enable_push": true},
	}}
	within := conformance.Change{Gitea: &conformance.GiteaChange{
		Path: "/list", Where: map[string]string{"config.url": "this"}, Set: map[string]any{"enable_push": true},
	}}
	push := conformance.Change{Gitea: &conformance.GiteaChange{Path: "/repos/o/r/branch_protections/main", Set: map[string]any{"enable_push": true}}}
	tests := []struct {
		name    string
		m       conformance.Mutation
		want    string // the policy's action while it is applied
		pushing bool
	}{
		{"a policy of a part is changed", mutation([]string{"policies"}, policyChange(audit)), "Audit", false},
		{"a policy of a part is deleted", mutation([]string{"policies"}, policyChange()), "gone", false},
		{"an object that nobody puts back is changed", mutation(nil, policyChange(audit)), "Audit", false},
		{"an object that nobody puts back is deleted", mutation(nil, policyChange()), "gone", false},
		{"settings in Gitea are changed", mutation(nil, push), "Deny", true},
		{"settings of a list in Gitea are changed", mutation(nil, item), "Deny", true},
		{"settings in Gitea that a field within says", mutation(nil, within), "Deny", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			if err := f.Mutate(t.Context(), tt.m); err != nil {
				t.Fatal(err)
			}
			if got := f.action(t); got != tt.want || f.protection["enable_push"] != tt.pushing || f.suspended(t) != (tt.m.Parts != nil) {
				t.Errorf("applied: %s, push %v, suspended %v", got, f.protection["enable_push"], f.suspended(t))
			}
			if err := f.Mutate(t.Context(), tt.m); !errors.Is(err, conformance.ErrApplied) {
				t.Errorf("a second one: %v", err)
			}
			name, err := f.Undo(t.Context())
			if name != "weaker" || err != nil {
				t.Errorf("undone %q: %v", name, err)
			}
			if got := f.action(t); got != "Deny" || f.protection["enable_push"] != false || f.suspended(t) {
				t.Errorf("undone: %s, push %v, suspended %v", got, f.protection["enable_push"], f.suspended(t))
			}
			for _, a := range f.dynamic.Actions() {
				if tt.m.Parts != nil && a.GetResource() == policyRes && (a.GetVerb() == "update" || a.GetVerb() == "create") {
					t.Errorf("what Flux had put back was written again: %s", a.GetVerb())
				}
			}
			if name, err := f.Undo(t.Context()); name != "" || err != nil {
				t.Errorf("nothing is left to undo, and %q was: %v", name, err)
			}
		})
	}
}

// Whoever is killed halfway leaves the journal behind, and nothing is lost.
func TestUndoPutsBackWhatWasChangedHalfway(t *testing.T) {
	f := newFixture(t)
	other := policyChange(map[string]any{"op": "test", "path": "/spec/nowhere", "value": true})
	if err := f.Mutate(t.Context(), mutation([]string{"policies"}, policyChange(audit), other)); err == nil {
		t.Fatal("a patch of what isn't there was taken")
	}
	if f.action(t) != "Audit" || !f.suspended(t) {
		t.Fatalf("nothing is half done: %s, suspended %v", f.action(t), f.suspended(t))
	}
	if name, err := f.Undo(t.Context()); name != "weaker" || err != nil || f.action(t) != "Deny" || f.suspended(t) {
		t.Errorf("undone %q: %v; %s, suspended %v", name, err, f.action(t), f.suspended(t))
	}
}

// What somebody keeps from Flux isn't given back to it by undoing a mutation.
func TestMutateLeavesASuspendedPartAlone(t *testing.T) {
	f := newFixture(t)
	if err := platform.Suspend(t.Context(), f.dynamic, "policies", true, "somebody"); err != nil {
		t.Fatal(err)
	}
	if err := f.Mutate(t.Context(), mutation([]string{"policies"}, policyChange(audit))); err == nil || !strings.Contains(err.Error(), "suspended") {
		t.Errorf("got %v", err)
	}
	if name, err := f.Undo(t.Context()); name != "" || err != nil || !f.suspended(t) || f.action(t) != "Deny" {
		t.Errorf("undone %q (%v), suspended %v, %s", name, err, f.suspended(t), f.action(t))
	}
}

func TestUndoOfADamagedJournalSaysWhatToDo(t *testing.T) {
	f := newFixture(t)
	if err := f.Mutate(t.Context(), mutation(nil, policyChange(audit))); err != nil {
		t.Fatal(err)
	}
	secret, err := f.Kube.CoreV1().Secrets("druppie-system").Get(t.Context(), "conformance-mutation", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, damaged := range []string{`{"mutation":`, `{}`} {
		secret.Data["journal"] = []byte(damaged)
		if _, err := f.Kube.CoreV1().Secrets("druppie-system").Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Undo(t.Context()); err == nil || !strings.Contains(err.Error(), `mutation "weaker"`) || !strings.Contains(err.Error(), "delete the Secret") {
			t.Errorf("%s: %v", damaged, err)
		}
	}
}

func TestMutateRefusesWhatChangesNothing(t *testing.T) {
	f := newFixture(t)
	deny := map[string]any{"op": "replace", "path": "/spec/validationActions", "value": []any{"Deny"}}
	if err := f.Mutate(t.Context(), mutation(nil, policyChange(deny))); err == nil || !strings.Contains(err.Error(), "changes nothing") {
		t.Errorf("got %v", err)
	}
	if _, err := f.Undo(t.Context()); err != nil {
		t.Error(err)
	}
	gone := policyChange()
	gone.Name = "not-there"
	if err := f.Mutate(t.Context(), mutation(nil, gone)); err == nil || !strings.Contains(err.Error(), "isn't there") {
		t.Errorf("got %v", err)
	}
	if name, _ := f.Undo(t.Context()); name != "" {
		t.Errorf("%q was kept, and nothing was changed", name)
	}
}

// What can't be put back is not forgotten: the next undo tries again.
func TestUndoKeepsTheJournalUntilAllIsBack(t *testing.T) {
	f := newFixture(t)
	if err := f.Mutate(t.Context(), mutation(nil, policyChange())); err != nil {
		t.Fatal(err)
	}
	fails := true
	f.dynamic.PrependReactor("create", "validatingpolicies", func(k8stesting.Action) (bool, runtime.Object, error) {
		return fails, nil, errConnected
	})
	if name, err := f.Undo(t.Context()); name != "weaker" || !errors.Is(err, errConnected) {
		t.Errorf("got %q, %v", name, err)
	}
	fails = false
	if name, err := f.Undo(t.Context()); name != "weaker" || err != nil || f.action(t) != "Deny" {
		t.Errorf("got %q, %v; %s", name, err, f.action(t))
	}
	if diff := cmp.Diff(0, len(secrets(t, f))); diff != "" {
		t.Error(diff)
	}
}

func secrets(t *testing.T, f *fixture) []string {
	t.Helper()
	list, err := f.Kube.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name)
	}
	return names
}

// What undoing sets going would change a service in the middle of the next scenario.
func TestUndoWaitsForThePipeline(t *testing.T) {
	f := newFixture(t)
	if err := f.Mutate(t.Context(), mutation([]string{"policies"}, policyChange(audit))); err != nil {
		t.Fatal(err)
	}
	asked := 0
	f.dynamic.PrependReactor("list", "pipelineruns", func(k8stesting.Action) (bool, runtime.Object, error) {
		asked++
		status := "Unknown"
		if asked > 2 {
			status = "True"
		}
		run := unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": "r"},
			"status":   map[string]any{"conditions": []any{map[string]any{"type": "Succeeded", "status": status}}},
		}}
		return true, &unstructured.UnstructuredList{Items: []unstructured.Unstructured{run}}, nil
	})
	if _, err := f.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked != 3 {
		t.Errorf("it asked %d times for the run, which had ended when it asked for the third time", asked)
	}
}

// A comparison that has begun goes on when the part is suspended, and would put the change back.
func TestMutateBeginsBehindAComparison(t *testing.T) {
	f := newFixture(t)
	if err := f.Mutate(t.Context(), mutation([]string{"policies"}, policyChange(audit))); err != nil {
		t.Fatal(err)
	}
	var patches []string
	for _, a := range f.dynamic.Actions() {
		if p, ok := a.(k8stesting.PatchAction); ok && a.GetResource() == kustomRes {
			patches = append(patches, string(p.GetPatch()))
		}
	}
	if len(patches) != 2 || !strings.Contains(patches[0], "requestedAt") || !strings.Contains(patches[1], "suspend") {
		t.Errorf("what was asked of Flux: %q", patches)
	}
}

// A question that fails says nothing of the platform; a run that goes on keeps the journal.
func TestUndoAsksAgainAndIsNotUndoneBefore(t *testing.T) {
	f := newFixture(t)
	if err := f.Mutate(t.Context(), mutation([]string{"policies"}, policyChange(audit))); err != nil {
		t.Fatal(err)
	}
	lost, goesOn := true, true
	f.dynamic.PrependReactor("list", "pipelineruns", func(k8stesting.Action) (bool, runtime.Object, error) {
		if lost {
			lost = false
			return true, nil, errConnected
		}
		run := unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "r"}}}
		return goesOn, &unstructured.UnstructuredList{Items: []unstructured.Unstructured{run}}, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	if _, err := f.Undo(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errConnected) {
		t.Errorf("a run goes on: %v", err)
	}
	if applied, err := f.Applied(t.Context()); applied != "weaker" || err != nil {
		t.Errorf("applied is %q (%v), and what was set going isn't over", applied, err)
	}
	goesOn = false
	if name, err := f.Undo(t.Context()); name != "weaker" || err != nil {
		t.Errorf("undone %q: %v", name, err)
	}
}

// What was put back has to run before the next one begins.
func TestUndoWaitsUntilWhatItPutBackRuns(t *testing.T) {
	f := newFixture(t)
	deployment := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}}}
	deployment.SetAPIVersion("apps/v1")
	deployment.SetKind("Deployment")
	deployment.SetNamespace("foundry")
	deployment.SetName("watch")
	if err := f.dynamic.Tracker().Create(deploymentRes, deployment, "foundry"); err != nil {
		t.Fatal(err)
	}
	change := conformance.Change{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "foundry", Name: "watch",
		Patch: []map[string]any{{"op": "replace", "path": "/spec/replicas", "value": 0}}}
	if err := f.Mutate(t.Context(), mutation(nil, change)); err != nil {
		t.Fatal(err)
	}
	asked := 0
	f.dynamic.PrependReactor("get", "deployments", func(k8stesting.Action) (bool, runtime.Object, error) {
		o, err := f.dynamic.Tracker().Get(deploymentRes, "foundry", "watch")
		if err != nil {
			return true, nil, err
		}
		u := o.(*unstructured.Unstructured).DeepCopy()
		// Numbers that came by JSON are of another type here than a server's are.
		replicas, _, err := unstructured.NestedFieldNoCopy(u.Object, "spec", "replicas")
		if err != nil || fmt.Sprint(replicas) == "0" {
			return true, u, err
		}
		u.Object["spec"] = map[string]any{"replicas": int64(1)}
		status := map[string]any{"replicas": int64(1), "updatedReplicas": int64(1)}
		if asked++; asked > 3 {
			status["readyReplicas"], status["availableReplicas"] = int64(1), int64(1)
			status["conditions"] = []any{map[string]any{"type": "Available", "status": "True"}}
		}
		u.Object["status"] = status
		return true, u, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := f.Undo(ctx); err != nil || asked < 4 {
		t.Errorf("it looked %d times, and the pod was ready at the fourth: %v", asked, err)
	}
}

// Whoever has Flux reconcile leaves an annotation. Where that was the only one, none is put back, and a server keeps
// no empty ones.
func TestUndoOfWhatOnlyFluxHadAnnotated(t *testing.T) {
	f := newFixture(t)
	annotated := policyObject("Deny")
	annotated.SetAnnotations(map[string]string{"reconcile.fluxcd.io/requestedAt": "monday"})
	if err := f.dynamic.Tracker().Update(policyRes, annotated, ""); err != nil {
		t.Fatal(err)
	}
	f.dynamic.PrependReactor("update", "validatingpolicies", func(a k8stesting.Action) (bool, runtime.Object, error) {
		u := a.(k8stesting.UpdateAction).GetObject().(*unstructured.Unstructured)
		if len(u.GetAnnotations()) == 0 {
			unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
		}
		return false, nil, nil
	})
	if err := f.Mutate(t.Context(), mutation(nil, policyChange(audit))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Undo(t.Context()); err != nil || f.action(t) != "Deny" {
		t.Errorf("the policy is %s: %v", f.action(t), err)
	}
}
