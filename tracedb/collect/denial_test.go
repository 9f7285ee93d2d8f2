package collect

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDenial(t *testing.T) {
	opts := cmp.AllowUnexported(denial{}, refusal{})
	const hook = "vpol.validate.kyverno.svc-fail"
	tests := []struct {
		name, give string
		want       denial
		no         bool
	}{
		{"Flux, two policies and what it did before", refusedByTwo, denial{webhook: hook, kind: "Deployment", namespace: "drones", name: "drone-service", policies: []refusal{
			{"foundry-image", "[C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@" + imageX + " isn't known"},
			{"non-root", "[C5/F6] a container may run as root. Set runAsNonRoot: true.; [C5/F6] a container is privileged."},
		}}, false},
		{"Flux, with a reason in brackets", `Pod/drones/x dry-run failed (Forbidden): admission webhook "` + hook + `" denied the request: Policy register-id error: no answer`,
			denial{webhook: hook, kind: "Pod", namespace: "drones", name: "x", policies: []refusal{{"register-id", "no answer"}}}, false},
		{"Flux, when it applied", `Namespace/evil apply failed: admission webhook "` + hook + `" denied the request: Policy p failed: no`,
			denial{webhook: hook, kind: "Namespace", namespace: "", name: "evil", policies: []refusal{{"p", "no"}}}, false},
		{"quoted by another message", `Error creating: admission webhook "` + hook + `" denied the request: Policy non-root failed: why`, denial{}, true},
		{"no explanation", `admission webhook "` + hook + `" denied the request without explanation`, denial{webhook: hook, policies: []refusal{{hook, "without explanation"}}}, false},
		{"nothing after the colon", `admission webhook "` + hook + `" denied the request: `, denial{webhook: hook, policies: []refusal{{hook, "without explanation"}}}, false},
		{"another webhook's own words", `Pod/a/b dry-run failed: admission webhook "x.y" denied the request: because I say so`,
			denial{webhook: "x.y", kind: "Pod", namespace: "a", name: "b", policies: []refusal{{"x.y", "because I say so"}}}, false},
		{"words before the first policy", `admission webhook "x.y" denied the request: two things; Policy p failed: one`,
			denial{webhook: "x.y", policies: []refusal{{"x.y", "two things"}, {"p", "one"}}}, false},
		{"a reason of two lines", "admission webhook \"x.y\" denied the request: Policy p failed: one\ntwo\n\nService/a/b configured\n",
			denial{webhook: "x.y", policies: []refusal{{"p", "one\ntwo"}}}, false},
		{"a webhook that didn't answer", `Internal error occurred: failed calling webhook "` + hook + `": failed to call webhook: Post "https://x": EOF`, denial{}, true},
		{"something else", "health check failed", denial{}, true},
		{"nothing", "", denial{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parseDenial(tt.give)
			if ok == tt.no {
				t.Fatalf("parseDenial = %v", ok)
			}
			if diff := cmp.Diff(tt.want, got, opts); diff != "" {
				t.Errorf("parseDenial (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever a policy or a cluster says, its refusal becomes records that the log takes.
func FuzzDenial(f *testing.F) {
	f.Add(refusedByTwo)
	f.Add("Pod drones/x: [r] fail (blocked); why")
	f.Add("admission webhook \"\" denied the request: ; Policy  failed: ; Policy a failed: \x00\xff")
	f.Fuzz(func(t *testing.T, message string) {
		d, ok := parseDenial(message)
		if !ok {
			return
		}
		if len(d.policies) == 0 {
			t.Fatal("refused by nobody")
		}
		seen := map[string]bool{}
		for _, draft := range d.drafts("flux/x", "flux-system", noon) {
			if seen[draft.ID] {
				t.Errorf("id %q comes twice", draft.ID)
			}
			seen[draft.ID] = true
			if len(draft.ID) > 250 || strings.ContainsAny(draft.ID, "\x00 \n") {
				t.Errorf("id %q", draft.ID)
			}
			for _, r := range draft.Refs {
				if err := r.Check(); err != nil {
					t.Errorf("ref %s: %v", r, err)
				}
			}
			if len(draft.Payload) > 2*maxText*6 { // JSON may write six bytes for one
				t.Errorf("a payload of %d bytes", len(draft.Payload))
			}
		}
	})
}
