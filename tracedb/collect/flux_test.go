package collect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	hashA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hashB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	revA  = "main@sha1:" + hashA
	revB  = "main@sha1:" + hashB
)

func payload[T any](t *testing.T, data []byte) T {
	t.Helper()
	var p T
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// event is one of kustomize-controller's, as notification-controller forwards it: the metadata's keys
// have lost their group.
func event(severity, reason, revision, message string, at time.Time) eventv1.Event {
	e := eventv1.Event{
		InvolvedObject: corev1.ObjectReference{
			Kind: "Kustomization", Namespace: "flux-system", Name: "tenant-drones", UID: "3f6a", APIVersion: "kustomize.toolkit.fluxcd.io/v1", ResourceVersion: "7",
		},
		Severity: severity, Timestamp: metav1.NewTime(at), Message: message, Reason: reason,
		ReportingController: "kustomize-controller", ReportingInstance: "kustomize-controller-0",
	}
	if revision != "" {
		e.Metadata = map[string]string{eventv1.MetaRevisionKey: revision}
	}
	return e
}

func finished(revision string, at time.Time) eventv1.Event {
	e := event(eventv1.EventSeverityInfo, "ReconciliationSucceeded", revision,
		fmt.Sprintf("Reconciliation finished in %d.2345ms, next run in 1m0s", at.Unix()%100), at)
	e.Metadata[eventv1.MetaCommitStatusKey] = eventv1.MetaCommitStatusUpdateValue
	return e
}

func applying(revision, changes string, at time.Time) eventv1.Event {
	return event(eventv1.EventSeverityInfo, "Progressing", revision, changes, at)
}

func failing(revision, reason, message string, at time.Time) eventv1.Event {
	return event(eventv1.EventSeverityError, reason, revision, message, at)
}

const refusedByTwo = `Deployment/drones/drone-service dry-run failed: admission webhook "vpol.validate.kyverno.svc-fail" denied the request: ` +
	`Policy foundry-image failed: [C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@` + imageX + ` isn't known; Policy non-root failed: [C5/F6] a container may run as root. Set runAsNonRoot: true.; ` +
	"Policy non-root failed: [C5/F6] a container is privileged.\nConfigMap/drones/settings created\n"

func fluxBody(t testing.TB, e eventv1.Event) string {
	t.Helper()
	body, err := json.Marshal(e) // as notification-controller does
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func sendEvents(t *testing.T, h http.Handler, events ...eventv1.Event) {
	t.Helper()
	for _, e := range events {
		body := fluxBody(t, e)
		w := post(h, "POST", body, "Content-Type", "application/json", "gotk-component", "kustomize-controller", "X-Signature", "sha256="+hmacOf(secret, body))
		if w.Code != http.StatusAccepted {
			t.Errorf("%s: status %d: %s", e.Message, w.Code, w.Body)
		}
	}
}

func newFlux(tr *trace) *Webhook {
	h := Flux([]byte(secret), nil, tr.options())
	withTestClock(h.recorder)
	return h
}

func kustomizationOf(t *testing.T, u *unstructured.Unstructured) *kustomization {
	t.Helper()
	k, err := typed[kustomization](u)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestFlux(t *testing.T) {
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	tests := []struct {
		name   string
		events []eventv1.Event
		want   []string
	}{
		{"a revision is applied", []eventv1.Event{
			applying(revA, "Namespace/drones created\nDeployment/drones/drone-service configured", minute(0)),
			event("info", "Progressing", revA, "Health check passed in 5.01s", minute(0)),
			finished(revA, minute(0)),
		}, []string{
			"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Namespace/drones created\nDeployment/drones/drone-service configured",
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
		}},
		{"and stays so", []eventv1.Event{finished(revA, minute(0)), finished(revA, minute(1)), finished(revA, minute(2))},
			[]string{"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones"}},
		{"the next one", []eventv1.Event{finished(revA, minute(0)), applying(revB, "Deployment/drones/drone-service configured", minute(1)), finished(revB, minute(1))},
			[]string{
				"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
				"deployment passed namespace:drones revision:bbbbbbbb | Kustomization/tenant-drones Deployment/drones/drone-service configured",
				"deployment passed revision:bbbbbbbb | Kustomization/tenant-drones",
			}},
		{"drift is undone, twice", []eventv1.Event{
			applying(revA, "Deployment/drones/drone-service created", minute(0)), finished(revA, minute(0)),
			applying(revA, "Deployment/drones/drone-service configured\nService/drones/drone-service created", minute(1)), finished(revA, minute(1)),
			applying(revA, "Deployment/drones/drone-service configured", minute(5)),
		}, []string{
			"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Deployment/drones/drone-service created",
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
			"drift undone namespace:drones revision:aaaaaaaa | Deployment/drone-service want as in Git got otherwise",
			"drift undone namespace:drones revision:aaaaaaaa | Service/drone-service want as in Git got gone",
			"drift undone namespace:drones revision:aaaaaaaa | Deployment/drone-service want as in Git got otherwise",
		}},
		{"set back to what was applied before, and on again", []eventv1.Event{
			applying(revA, "Deployment/drones/drone-service created", minute(0)), finished(revA, minute(0)),
			applying(revB, "Deployment/drones/drone-service configured", minute(1)), finished(revB, minute(1)),
			applying(revA, "Deployment/drones/drone-service configured", minute(2)), finished(revA, minute(3)), finished(revA, minute(4)),
			applying(revA, "Deployment/drones/drone-service configured", minute(5)),
			finished(revB, minute(7)), applying(revB, "Deployment/drones/drone-service configured", minute(6)), // in the wrong order
			applying(revB, "Deployment/drones/drone-service configured", minute(8)),
		}, []string{
			"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Deployment/drones/drone-service created",
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
			"deployment passed namespace:drones revision:bbbbbbbb | Kustomization/tenant-drones Deployment/drones/drone-service configured",
			"deployment passed revision:bbbbbbbb | Kustomization/tenant-drones",
			"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Deployment/drones/drone-service configured",
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
			"drift undone namespace:drones revision:aaaaaaaa | Deployment/drone-service want as in Git got otherwise",
			"deployment passed revision:bbbbbbbb | Kustomization/tenant-drones",
			"deployment passed namespace:drones revision:bbbbbbbb | Kustomization/tenant-drones Deployment/drones/drone-service configured",
			"drift undone namespace:drones revision:bbbbbbbb | Deployment/drone-service want as in Git got otherwise",
		}},
		{"set back from what never stood as a whole", []eventv1.Event{
			finished(revA, minute(0)),
			applying(revB, "Deployment/drones/drone-service configured", minute(1)), failing(revB, "HealthCheckFailed", "timeout", minute(2)),
			applying(revA, "Deployment/drones/drone-service configured", minute(3)), finished(revA, minute(3)),
			applying(revB, "Deployment/drones/drone-service configured", minute(4)),
		}, []string{
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
			"deployment passed namespace:drones revision:bbbbbbbb | Kustomization/tenant-drones Deployment/drones/drone-service configured",
			"deployment failed revision:bbbbbbbb | Kustomization/tenant-drones timeout",
			"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Deployment/drones/drone-service configured",
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
			"deployment passed namespace:drones revision:bbbbbbbb | Kustomization/tenant-drones Deployment/drones/drone-service configured",
		}},
		{"what was reported late was applied before", []eventv1.Event{
			finished(revA, minute(0)), finished(revB, minute(2)), applying(revA, "Deployment/drones/drone-service configured", minute(1)),
			applying(revB, "Deployment/drones/drone-service configured", minute(3)),
		}, []string{
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
			"deployment passed revision:bbbbbbbb | Kustomization/tenant-drones",
			"drift undone namespace:drones revision:aaaaaaaa | Deployment/drone-service want as in Git got otherwise",
			"drift undone namespace:drones revision:bbbbbbbb | Deployment/drone-service want as in Git got otherwise",
		}},
		{"events of one application in the wrong order", []eventv1.Event{
			finished(revA, minute(0)), applying(revA, "Deployment/drones/drone-service created", minute(0)),
		}, []string{
			"deployment passed revision:aaaaaaaa | Kustomization/tenant-drones",
			"deployment passed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Deployment/drones/drone-service created",
		}},
		{"refused, again and again", []eventv1.Event{
			failing(revA, "ReconciliationFailed", refusedByTwo, minute(0)),
			failing(revA, "ReconciliationFailed", refusedByTwo, minute(1)),
			failing(revB, "ReconciliationFailed", refusedByTwo, minute(2)),
		}, []string{
			"admission denied image:2d711642 namespace:drones revision:aaaaaaaa | Deployment/drone-service foundry-image: [C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@" + imageX + " isn't known",
			"admission denied namespace:drones revision:aaaaaaaa | Deployment/drone-service non-root: [C5/F6] a container may run as root. Set runAsNonRoot: true.; [C5/F6] a container is privileged.",
			"admission denied image:2d711642 namespace:drones revision:bbbbbbbb | Deployment/drone-service foundry-image: [C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@" + imageX + " isn't known",
			"admission denied namespace:drones revision:bbbbbbbb | Deployment/drone-service non-root: [C5/F6] a container may run as root. Set runAsNonRoot: true.; [C5/F6] a container is privileged.",
		}},
		{"not healthy, each time after another while", []eventv1.Event{
			failing(revA, "HealthCheckFailed", "health check failed after 2m0.011s: timeout waiting for: [Deployment/drones/drone-service status: 'InProgress']", minute(0)),
			failing(revA, "HealthCheckFailed", "health check failed after 2m0.022s: timeout waiting for: [Deployment/drones/drone-service status: 'InProgress']", minute(3)),
		}, []string{"deployment failed revision:aaaaaaaa | Kustomization/tenant-drones health check failed after 2m0.011s: timeout waiting for: [Deployment/drones/drone-service status: 'InProgress']"}},
		{"can't be pruned, each time after another while", []eventv1.Event{
			failing(revA, "PruneFailed", "Job/drones/x not deleted after 30.01s", minute(0)),
			failing(revA, "PruneFailed", "Job/drones/x not deleted after 1m29.9s", minute(1)),
			failing(revA, "PruneFailed", "Job/drones/y not deleted after 30.01s", minute(2)),
		}, []string{
			"deployment failed revision:aaaaaaaa | Kustomization/tenant-drones Job/drones/x not deleted after 30.01s",
			"deployment failed revision:aaaaaaaa | Kustomization/tenant-drones Job/drones/y not deleted after 30.01s",
		}},
		{"can't be built", []eventv1.Event{failing(revA, "BuildFailed", "kustomize build failed: accumulating resources", minute(0))},
			[]string{"deployment failed revision:aaaaaaaa | Kustomization/tenant-drones kustomize build failed: accumulating resources"}},
		{"no answer is no refusal by a policy", []eventv1.Event{
			failing(revA, "ReconciliationFailed", `Deployment/drones/x dry-run failed (InternalError): Internal error occurred: failed calling webhook "vpol.validate.kyverno.svc-fail": no endpoints`, minute(0)),
		}, []string{`deployment failed revision:aaaaaaaa | Kustomization/tenant-drones Deployment/drones/x dry-run failed (InternalError): Internal error occurred: failed calling webhook "vpol.validate.kyverno.svc-fail": no endpoints`}},
		{"waits for others", []eventv1.Event{event("info", "DependencyNotReady", revA, "Dependencies do not meet ready condition, retrying in 5s", minute(0))}, nil},
		{"of a source", []eventv1.Event{{
			InvolvedObject: corev1.ObjectReference{Kind: "GitRepository", Namespace: "flux-system", Name: "fleet"}, Severity: "info",
			Reason: "NewArtifact", Message: "stored artifact for commit 'x'", Timestamp: metav1.NewTime(noon),
		}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			h := newFlux(tr)
			sendEvents(t, h, tt.events...)
			if diff := cmp.Diff(tt.want, tr.lines(fluxLine(t))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			n := len(tr.records())
			sendEvents(t, h, tt.events...)           // a replay
			sendEvents(t, newFlux(tr), tt.events...) // and one after a restart
			if again := len(tr.records()); again != n {
				t.Errorf("%d records after a replay, were %d", again, n)
			}
		})
	}
}

func fluxLine(t *testing.T) func(tracedb.Record) string {
	return func(r tracedb.Record) string {
		// Every Kustomization stands there, so it says nothing.
		about := strings.Replace(refTexts(r.Refs), "namespace:flux-system ", "", 1) + " | "
		switch r.Kind {
		case tracedb.KindDrift:
			d := payload[tracedb.Drift](t, r.Payload)
			return about + d.Object + " want " + d.Want + " got " + d.Got
		case tracedb.KindAdmission:
			a := payload[tracedb.Admission](t, r.Payload)
			return about + a.Resource + " " + a.Policy + ": " + a.Reason
		}
		d := payload[tracedb.Deployment](t, r.Payload)
		return about + d.Object + " " + d.Message
	}
}

// The status says that a revision is applied again, though no event did; it may be older than what an event reported.
func TestStatusSetBack(t *testing.T) {
	applied := func(revision string, first, last time.Time) reconciliation {
		u := kustomizationWith("True", "ReconciliationSucceeded", "", revision)
		history := []any{map[string]any{
			"firstReconciled": first.Format(time.RFC3339), "lastReconciled": last.Format(time.RFC3339),
			"lastReconciledStatus": "ReconciliationSucceeded", "metadata": map[string]any{"revision": revision},
		}}
		if err := unstructured.SetNestedSlice(u.Object, history, "status", "history"); err != nil {
			t.Fatal(err)
		}
		return kustomizationOf(t, u).reconciliations()[0]
	}
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	revC := "main@sha1:" + strings.Repeat("c", 40)
	recorded := []eventv1.Event{finished(revA, minute(0)), finished(revB, minute(5))}
	tests := []struct {
		name     string
		status   reconciliation
		want     []string // besides what was reported
		recorded bool     // its changes are, at last
	}{
		{"B stands", applied(revB, minute(5), minute(7)), nil, false},
		{"A stood", applied(revA, minute(0), minute(4)), nil, false},
		{"A stands again", applied(revA, minute(0), minute(7)), []string{"12:07 aaaaaaaa"}, true},
		{"C has what A had", applied(revC, minute(0), minute(7)), []string{"12:07 cccccccc"}, true},
		{"C is new", applied(revC, minute(6), minute(7)), []string{"12:06 cccccccc"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			sendEvents(t, newFlux(tr), recorded...)
			for range 2 {
				reader := newFluxReader("flux", nil, tr.options())
				withTestClock(reader.recorder)
				drafts, err := reader.drafts(t.Context(), tt.status)
				if err == nil {
					err = reader.tryPut(t.Context(), drafts)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, r := range tr.records()[len(recorded):] {
				got = append(got, r.At.Format("15:04")+" "+payload[tracedb.Deployment](t, r.Payload).Revision[:8])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if !tt.recorded {
				return
			}
			sendEvents(t, newFlux(tr), applying(tt.status.revision, "Deployment/drones/x configured", minute(7)))
			if lines := tr.brief(); !strings.HasPrefix(lines[len(lines)-1], "deployment passed namespace:drones") {
				t.Errorf("its changes are %q, want a deployment", lines[len(lines)-1])
			}
		})
	}
}

// The service restarts between the application and the drift: the log knows what was applied.
func TestFluxRestart(t *testing.T) {
	tr := newTrace(t)
	sendEvents(t, newFlux(tr), applying(revA, "Deployment/drones/x created", noon), finished(revA, noon))
	sendEvents(t, newFlux(tr), applying(revA, "Deployment/drones/x configured", noon.Add(time.Minute)))
	lines := tr.brief()
	if len(lines) != 3 || !strings.HasPrefix(lines[2], "drift undone") {
		t.Errorf("records = %q, want drift at last", lines)
	}
	// It was set back meanwhile.
	sendEvents(t, newFlux(tr), finished(revB, noon.Add(2*time.Minute)))
	sendEvents(t, newFlux(tr), applying(revA, "Deployment/drones/x configured", noon.Add(3*time.Minute)))
	sendEvents(t, newFlux(tr), finished(revA, noon.Add(3*time.Minute)))
	if lines := tr.brief(); len(lines) != 6 || !strings.HasPrefix(lines[4], "deployment passed") || !strings.HasPrefix(lines[5], "deployment passed") {
		t.Errorf("records = %q, want no drift at last", lines)
	}
	// The control: by a log that knows nothing it would have been taken for a change.
	tr = newTrace(t)
	sendEvents(t, newFlux(tr), applying(revA, "Deployment/drones/x created", noon), finished(revA, noon))
	sendEvents(t, Flux([]byte(secret), nil, Options{Sink: tr.sink, Log: newTrace(t).log}), applying(revA, "Deployment/drones/x configured", noon.Add(time.Minute)))
	if lines := tr.brief(); len(lines) != 3 || !strings.HasPrefix(lines[2], "deployment passed") {
		t.Errorf("records = %q", lines)
	}
}

func TestRevisionHash(t *testing.T) {
	sha256 := strings.Repeat("ab", 32)
	for give, want := range map[string]string{
		revA: hashA, "main/" + hashA: hashA, hashA: hashA, "refs/heads/main@sha1:" + hashA: hashA,
		"main@sha256:" + sha256: sha256, "main": "", "": "", "main@sha1:short": "",
	} {
		if got := revisionHash(give); got != want {
			t.Errorf("revisionHash(%q) = %q, want %q", give, got, want)
		}
	}
}
