package bootstrap

import (
	"slices"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/druppie/druppie-up/bootstrap/flux"
	"github.com/druppie/druppie-up/bootstrap/kube"
)

// deployment has so many pods wanted and as many ready; owner is the
// Kustomization that Flux applied it from. Fewer than none wanted: it was deleted.
func deployment(namespace, name, owner string, wanted, ready int32) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if owner != "" {
		d.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": owner}
	}
	d.Spec.Replicas = &wanted
	d.Status.Replicas, d.Status.ReadyReplicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas = wanted, ready, wanted, ready
	if ready == wanted {
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: "True"}}
	}
	return d
}

func installed(name, reason string, status metav1.ConditionStatus) *kustomizev1.Kustomization {
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: name, Labels: map[string]string{"app.kubernetes.io/part-of": "druppie"}}}
	k.Spec.SourceRef.Name = "flux-system"
	k.Status.LastAppliedRevision = "main@sha1:1"
	k.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: status, Reason: reason, Message: reason}}
	k.Status.History = meta.History{{LastReconciledStatus: "ReconciliationSucceeded"}}
	return k
}

func tenants(list string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "druppie-system", Name: "tenants"}, Data: map[string]string{"tenants.yaml": list}}
}

func triggers(services string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "foundry", Name: "triggers-abc"}, Data: map[string]string{"trigger.yaml": "branch: main\nservices: " + services + "\n"}}
}

// What isn't ready is named, and a platform that Flux merely compares with Git
// again is ready.
func TestPartsSaysWhatIsNotReady(t *testing.T) {
	kyverno := func() *kustomizev1.Kustomization { return installed("kyverno", "Progressing", "Unknown") }
	tests := []struct {
		name string
		objs []client.Object
		want map[string]string // message of each part that isn't ready
	}{
		{"healthy, while Flux reconciles", []client.Object{kyverno(), deployment("kyverno", "admission", "kyverno", 1, 1)}, nil},
		{"suspended", []client.Object{
			func() client.Object { k := kyverno(); k.Spec.Suspend = true; return k }(),
			deployment("kyverno", "admission", "kyverno", 1, 1),
		}, map[string]string{"kyverno": "suspended: Flux neither updates it nor puts back what was changed; `druppie-up up` resumes it"}},
		{"suspended and scaled to nothing", []client.Object{
			func() client.Object { k := kyverno(); k.Spec.Suspend = true; return k }(),
			deployment("kyverno", "admission", "kyverno", 0, 0),
		}, map[string]string{"kyverno": "Deployment/kyverno/admission: scaled to nothing; suspended: Flux neither updates it nor puts back what was changed; `druppie-up up` resumes it"}},
		{"a Deployment deleted", []client.Object{func() client.Object {
			k := kyverno()
			k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: "kyverno_admission_apps_Deployment", Version: "v1"}}}
			return k
		}()}, map[string]string{"kyverno": "Deployment/kyverno/admission: is gone"}},
		{"a tenant's Deployment deleted", []client.Object{kyverno(), func() client.Object {
			k := installed("tenant-drones", "ReconciliationSucceeded", "True")
			k.Status.Inventory = &kustomizev1.ResourceInventory{Entries: []kustomizev1.ResourceRef{{ID: "drones_drone-service_apps_Deployment", Version: "v1"}}}
			return k
		}()}, nil},
		{"scaled to nothing", []client.Object{kyverno(), deployment("kyverno", "admission", "kyverno", 0, 0)},
			map[string]string{"kyverno": "Deployment/kyverno/admission: scaled to nothing"}},
		{"fewer pods than wanted", []client.Object{kyverno(), deployment("kyverno", "admission", "kyverno", 2, 1)},
			map[string]string{"kyverno": "Deployment/kyverno/admission: Available: 1/2"}},
		{"a controller of Flux itself", []client.Object{kyverno(), deployment("flux-system", "source-controller", "", 1, 0)},
			map[string]string{"flux-system/source-controller": "Deployment/flux-system/source-controller: Available: 0/1"}},
		{"a controller of Flux deleted", []client.Object{kyverno(), deployment("flux-system", "notification-controller", "", -1, -1)},
			map[string]string{"flux-system/notification-controller": "Deployment/flux-system/notification-controller: is gone"}},
		{"Gitea scaled to nothing", []client.Object{kyverno(), deployment("gitea", "gitea", "", 0, 0)},
			map[string]string{"gitea": "Deployment/gitea/gitea: scaled to nothing"}},
		{"a tenant's", []client.Object{kyverno(), deployment("drones", "drone-service", "tenant-drones", 1, 0)}, nil},
		{"tenants that are onboarded", []client.Object{kyverno(), tenants("- {name: water, services: [pump]}"), triggers(`{"druppie/pump":"water"}`)}, nil},
		{"onboarding that was stopped", []client.Object{
			kyverno(), installed("tenant-water", "ReconciliationSucceeded", "True"),
			tenants("- {name: fire, services: [hose]}\n- {name: water, services: [lock, pump]}"), triggers(`{"druppie/pump":"water","druppie/lock":"fire"}`),
		}, map[string]string{
			"tenant-fire":  "nothing builds service hose yet: `druppie-up onboard fire` goes on where it was stopped",
			"tenant-water": "nothing builds service lock yet: `druppie-up onboard water` goes on where it was stopped",
		}},
		{"a list that can't be read", []client.Object{kyverno(), tenants("- water")},
			map[string]string{"tenants": "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal string into Go value of type tenant.Tenant"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme} {
				if err := add(scheme); err != nil {
					t.Fatal(err)
				}
			}
			source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "flux-system", Name: "flux-system"}}
			source.Status.Artifact = &meta.Artifact{Revision: "main@sha1:1", LastUpdateTime: metav1.Now()}
			// What the case doesn't have otherwise is healthy.
			objs := append(slices.Clone(tt.objs), source)
			healthy := func(namespace, name string) *appsv1.Deployment {
				for _, o := range tt.objs {
					if d, ok := o.(*appsv1.Deployment); ok && d.Namespace == namespace && d.Name == name {
						return d
					}
				}
				d := deployment(namespace, name, "", 1, 1)
				objs = append(objs, d)
				return d
			}
			for _, name := range flux.Controllers() {
				healthy("flux-system", name)
			}
			foundation := kubefake.NewClientset()
			for _, q := range foundationParts() {
				if err := foundation.Tracker().Add(healthy(q.Namespace, q.Name)); err != nil {
					t.Fatal(err)
				}
			}
			objs = slices.DeleteFunc(objs, func(o client.Object) bool {
				d, ok := o.(*appsv1.Deployment)
				return ok && *d.Spec.Replicas < 0
			})
			c := &kube.Client{
				Client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).Build(),
				Clientset: foundation,
			}
			got, err := parts(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			unready := map[string]string{}
			for _, p := range got {
				if !p.Ready {
					unready[p.Name] = p.Message
				}
			}
			if tt.want == nil {
				tt.want = map[string]string{}
			}
			if diff := cmp.Diff(tt.want, unready); diff != "" {
				t.Errorf("not ready (-want +got):\n%s", diff)
			}
		})
	}
}
