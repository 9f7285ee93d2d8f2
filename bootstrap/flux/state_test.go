package flux_test

import (
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/flux"
)

// lastly is a Kustomization with the outcome of its last attempt.
func lastly(k *kustomizev1.Kustomization, outcome string) *kustomizev1.Kustomization {
	k.Status.History = meta.History{{LastReconciledStatus: outcome}, {LastReconciledStatus: meta.ReconciliationSucceededReason}}
	return k
}

func TestInspectTellsReconcilingFromFailing(t *testing.T) {
	const succeeded, failed = "ReconciliationSucceeded", "HealthCheckFailed"
	at := func(revision string, ready metav1.ConditionStatus, reason string) *kustomizev1.Kustomization {
		return fluxPart("kyverno", "flux-system", revision, ready, reason, reason)
	}
	tests := []struct {
		name string
		k    *kustomizev1.Kustomization
		want bool
	}{
		{"ready", at(newRevision, "True", succeeded), true},
		{"compared with Git again", lastly(at(newRevision, "Unknown", "Progressing"), succeeded), true},
		{"waits while a dependency is compared with Git again", lastly(at(newRevision, "False", "DependencyNotReady"), succeeded), true},
		{"never applied", at("", "Unknown", "Progressing"), false},
		{"tried again after it failed", lastly(at(newRevision, "Unknown", "Progressing"), failed), false},
		{"waits for a dependency after it failed", lastly(at(newRevision, "False", "DependencyNotReady"), failed), false},
		{"failed", lastly(at(newRevision, "False", failed), failed), false},
		{"can't be built any more", lastly(at(newRevision, "False", "BuildFailed"), succeeded), false},
		{"ready at an older commit", at(oldRevision, "True", succeeded), false},
		{"on its way to a newer commit", lastly(at(oldRevision, "Unknown", "Progressing"), succeeded), false},
		{"a tenant to which a promotion is being applied", lastly(fluxPart("tenant-drones", "fleet", oldRevision, "Unknown", "Progressing", ""), succeeded), true},
		{"a tenant whose promotion failed", lastly(fluxPart("tenant-drones", "fleet", oldRevision, "False", failed, ""), failed), false},
		{"a tenant that was never applied", fluxPart("tenant-drones", "fleet", "", "Unknown", "Progressing", ""), false},
		{"changed since", func() *kustomizev1.Kustomization {
			k := at(newRevision, "True", succeeded)
			k.Generation = 2
			return k
		}(), false},
		{"suspended", func() *kustomizev1.Kustomization {
			k := at(newRevision, "True", succeeded)
			k.Spec.Suspend = true
			return k
		}(), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := flux.Inspect(t.Context(), fakeFlux(t, nil, fluxSource(newRevision), tt.k))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 1 || got[0].Ready != tt.want {
				t.Fatalf("got %+v, want ready %v", got, tt.want)
			}
			if applied := "Applied revision: " + tt.k.Status.LastAppliedRevision; (got[0].Message == applied) != tt.want {
				t.Errorf("ready %v with the message %q", tt.want, got[0].Message)
			}
		})
	}
}

// A source and a Kustomization of the platform are suspended, and one that somebody else made.
func TestResumeTakesBackWhatThePlatformOwns(t *testing.T) {
	source := fluxSource(newRevision)
	source.Spec.Suspend = true
	part := fluxPart("kyverno", "flux-system", newRevision, "True", "ReconciliationSucceeded", "Applied")
	part.Spec.Suspend = true
	other := fluxPart("theirs", "flux-system", newRevision, "True", "ReconciliationSucceeded", "Applied")
	other.Spec.Suspend = true
	source.Labels = map[string]string{"app.kubernetes.io/part-of": "druppie"}
	part.Labels = source.Labels
	c := fakeFlux(t, nil, source, part, other)

	states, err := flux.Inspect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var suspended []string
	for _, s := range states {
		if s.Suspended && !s.Ready {
			suspended = append(suspended, s.Name)
		}
	}
	if diff := cmp.Diff([]string{"kyverno", "theirs", "gitrepository/flux-system"}, suspended); diff != "" {
		t.Errorf("named as suspended (-want +got):\n%s", diff)
	}

	resumed, err := flux.Resume(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GitRepository flux-system", "Kustomization kyverno"}, resumed); diff != "" {
		t.Errorf("resumed (-want +got):\n%s", diff)
	}
	for name, want := range map[string]bool{"kyverno": false, "theirs": true} {
		k := &kustomizev1.Kustomization{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "flux-system", Name: name}, k); err != nil {
			t.Fatal(err)
		}
		if k.Spec.Suspend != want {
			t.Errorf("%s: suspended = %v, want %v", name, k.Spec.Suspend, want)
		}
	}
	again, err := flux.Resume(t.Context(), c)
	if err != nil || len(again) != 0 {
		t.Errorf("a second time: %v, %v", again, err)
	}
}
