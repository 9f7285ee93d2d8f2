package flux_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/bootstrap/flux"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/tenant"
)

func TestTreeAppliesEachPartAndTheFleet(t *testing.T) {
	files, err := flux.Tree(part.InstalledBy(part.Flux), append(tenant.Sample(), tenant.Tenant{Name: "water", Services: []string{"pump"}}))
	if err != nil {
		t.Fatal(err)
	}
	after, kinds := map[string][]string{}, map[string]int{}
	for path, doc := range files {
		objs, err := kube.Decode(doc)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, o := range objs {
			if kinds[o.GetKind()]++; o.GetKind() != "Kustomization" {
				continue
			}
			var k kustomizev1.Kustomization
			if err := yaml.UnmarshalStrict(mustYAML(t, o), &k); err != nil {
				t.Fatal(err)
			}
			names := []string{}
			for _, d := range k.Spec.DependsOn {
				names = append(names, d.Name)
			}
			after[k.Name] = names
			if !k.Spec.Prune || k.Namespace != "flux-system" {
				t.Errorf("%s: prune %v in %s", k.Name, k.Spec.Prune, k.Namespace)
			}
			// Only the fleet is other people's doing.
			if limited := k.Spec.ServiceAccountName != "" && k.Spec.TargetNamespace != ""; limited != (k.Spec.SourceRef.Name == "fleet") ||
				limited && (k.Spec.ServiceAccountName != k.Name || "tenant-"+k.Spec.TargetNamespace != k.Name || k.Spec.Path != "./tenants/"+k.Spec.TargetNamespace) {
				t.Errorf("%s of %s: limited to a namespace = %v", k.Name, k.Spec.SourceRef.Name, limited)
			}
		}
	}
	want := map[string][]string{
		"tracedb":          {},
		"tekton-pipelines": {},
		"kyverno-crds":     {},
		"kyverno":          {"kyverno-crds"},
		"policies":         {"kyverno"},
		"tenants":          {"policies"},
		"tenant-drones":    {"tenants", "tracedb"},
		"tenant-water":     {"tenants", "tracedb"},
		"pipelines":        {"tekton-pipelines"},
		"cluster":          {},
		"canary":           {},
		"default-deny":     {"cluster"},
		"audit":            {"tracedb"},
	}
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("dependsOn (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"Kustomization": 13, "GitRepository": 1, "Receiver": 1}, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

// While later parts' images are still to come, what applies them isn't there.
func TestTreeOfTheFirstParts(t *testing.T) {
	files, err := flux.Tree(part.InstalledBy(part.Flux)[:1], tenant.Sample())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"clusters/druppie/cluster.yaml", "clusters/druppie/receiver.yaml"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
		t.Error(diff)
	}
}

func mustYAML(t *testing.T, o *unstructured.Unstructured) []byte {
	t.Helper()
	b, err := yaml.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fluxCluster is a cluster in which nothing moves unless a test moves it.
type fluxCluster struct {
	client.Client
	workloads error // what waiting for workloads says
}

func (c fluxCluster) WaitReady(ctx context.Context, _ []*unstructured.Unstructured, _ kube.WaitOptions) error {
	if c.workloads != nil {
		return c.workloads
	}
	<-ctx.Done()
	return ctx.Err()
}

const (
	oldRevision = "main@sha1:old"
	newRevision = "main@sha1:new"
)

func fluxSource(revision string) *sourcev1.GitRepository {
	s := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "flux-system"}}
	s.Status.Artifact = &meta.Artifact{Revision: revision, LastUpdateTime: metav1.Now()}
	return s
}

func fluxPart(name, source, revision string, ready metav1.ConditionStatus, reason, message string) *kustomizev1.Kustomization {
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: name}}
	k.Spec.SourceRef.Name = source
	k.Status.LastAppliedRevision, k.Status.LastAttemptedRevision = revision, revision
	k.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: ready, Reason: reason, Message: message}}
	k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{
		{ID: "default_" + name + "__ConfigMap", Version: "v1"},
		{ID: "default_" + name + "_apps_Deployment", Version: "v1"},
	}}
	return k
}

func fakeFlux(t *testing.T, workloads error, objs ...client.Object) fluxCluster {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return fluxCluster{fake.NewClientBuilder().WithScheme(s).WithObjects(objs...).Build(), workloads}
}

func applied(name string) []client.Object {
	d := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment"}}
	d.SetNamespace("default")
	d.SetName(name)
	return []client.Object{d, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}}
}

func TestWait(t *testing.T) {
	ok := func(name string) *kustomizev1.Kustomization {
		return fluxPart(name, "flux-system", newRevision, "True", "ReconciliationSucceeded", "Applied")
	}
	crash := &kube.NotReadyError{Early: true, Waiting: []kube.Cause{{Object: "Deployment/default/kyverno", Reason: "CrashLoopBackOff", Message: "exit 1"}}}
	cases := []struct {
		name      string
		objs      []client.Object
		workloads error
		want      string // part of the error; empty: none
	}{
		{"all is ready", []client.Object{fluxSource(newRevision), ok("flux-system"), ok("kyverno")}, nil, ""},
		{"Flux compares all with Git again", []client.Object{
			fluxSource(newRevision), lastly(fluxPart("flux-system", "flux-system", newRevision, "Unknown", "Progressing", "Reconciliation in progress"), "ReconciliationSucceeded"),
			lastly(fluxPart("kyverno", "flux-system", newRevision, "False", "DependencyNotReady", "dependency isn't ready"), "ReconciliationSucceeded"),
		}, nil, ""},
		{"a tenant's refusal isn't the platform's", []client.Object{
			fluxSource(newRevision), ok("flux-system"), ok("kyverno"),
			fluxPart("tenant-drones", "fleet", oldRevision, "False", "ReconciliationFailed", "denied the request"),
		}, nil, ""},
		{"manifests that can't be built", []client.Object{
			fluxSource(newRevision), ok("flux-system"),
			fluxPart("kyverno", "flux-system", newRevision, "False", "BuildFailed", "no such file"),
		}, nil, "kyverno: no such file"},
		{"the same failure at an older commit may be fixed by this one", []client.Object{
			fluxSource(newRevision), ok("flux-system"),
			fluxPart("kyverno", "flux-system", oldRevision, "False", "BuildFailed", "no such file"),
		}, nil, "waited for kyverno"},
		{"a part that waits for another", []client.Object{
			fluxSource(newRevision), ok("flux-system"),
			fluxPart("policies", "flux-system", newRevision, "False", "DependencyNotReady", "dependency kyverno is not ready"),
		}, nil, "dependency kyverno"},
		{"pods that crash", []client.Object{
			fluxSource(newRevision), ok("flux-system"),
			fluxPart("kyverno", "flux-system", newRevision, "Unknown", "Progressing", "Running health checks"),
		}, crash, "exit 1"},
		{"the commit hasn't been fetched", []client.Object{fluxSource(oldRevision)}, nil, "flux to fetch the platform repository"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := fakeFlux(t, tc.workloads, append(append(applied("flux-system"), append(applied("kyverno"), applied("tenant-drones")...)...), tc.objs...)...)
			before := fluxVersions(t, c)
			ctx, cancel := context.WithTimeout(t.Context(), 800*time.Millisecond)
			defer cancel()
			err := flux.WaitQuickly(ctx, c, "new")
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, fluxVersions(t, c)); diff != "" {
					t.Errorf("a platform that is ready was touched:\n%s", diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
			if early := !errors.Is(err, context.DeadlineExceeded); early != strings.Contains("kyverno: no such file exit 1", tc.want) {
				t.Errorf("ended early = %v", early)
			}
		})
	}
}

func fluxVersions(t *testing.T, c client.Client) map[string]string {
	t.Helper()
	out := map[string]string{}
	ks, ss := &kustomizev1.KustomizationList{}, &sourcev1.GitRepositoryList{}
	if err := errors.Join(c.List(t.Context(), ks), c.List(t.Context(), ss)); err != nil {
		t.Fatal(err)
	}
	for _, k := range ks.Items {
		out[k.Name] = k.ResourceVersion
	}
	for _, s := range ss.Items {
		out["source "+s.Name] = s.ResourceVersion
	}
	return out
}

func TestWaitHasWhatIsGonePutBack(t *testing.T) {
	for name, present := range map[string][]client.Object{
		"gone":              nil,
		"scaled to nothing": {scaled("kyverno", 0)},
	} {
		t.Run(name, func(t *testing.T) { testPutBack(t, present...) })
	}
}

func scaled(name string, replicas int32) client.Object {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	d.Spec.Replicas = &replicas
	return d
}

func testPutBack(t *testing.T, present ...client.Object) {
	ready := func(name string) client.Object {
		return fluxPart(name, "flux-system", newRevision, "True", "ReconciliationSucceeded", "Applied")
	}
	objs := append(applied("flux-system"), applied("kyverno")[1], fluxSource(newRevision), ready("flux-system"), ready("kyverno"))
	c := fakeFlux(t, nil, append(objs, present...)...)
	go func() { // Flux
		k := &kustomizev1.Kustomization{}
		for t.Context().Err() == nil {
			if c.Get(t.Context(), client.ObjectKey{Namespace: "flux-system", Name: "kyverno"}, k) == nil {
				if at := k.Annotations[meta.ReconcileRequestAnnotation]; at != "" {
					_ = c.Create(t.Context(), applied("kyverno")[0])
					k.Status.LastHandledReconcileAt = at
					_ = c.Update(t.Context(), k)
					return
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	before := fluxVersions(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := flux.WaitQuickly(ctx, c, "new"); err != nil {
		t.Fatal(err)
	}
	after := fluxVersions(t, c)
	if before["kyverno"] == after["kyverno"] {
		t.Error("Flux wasn't asked for the part that lost a Deployment")
	}
	if before["flux-system"] != after["flux-system"] {
		t.Error("Flux was asked for a part that is whole")
	}
}
