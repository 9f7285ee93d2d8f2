package collect

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// applied is what the status says of a revision that stands since first, and did until last.
func applied(revision string, first, last time.Time) reconciliation {
	return reconciliation{
		kind: "Kustomization", namespace: "flux-system", name: "tenant-drones", uid: "3f6a", revision: revision,
		reason: "ReconciliationSucceeded", at: first, until: last,
	}
}

// finished is what the status says just when a revision was applied.
func finished(revision string, at time.Time) reconciliation { return applied(revision, at, at) }

func failing(revision, reason, message string, at time.Time) reconciliation {
	r := finished(revision, at)
	r.reason, r.message, r.failed = reason, message, true
	return r
}

const refusedByTwo = `Deployment/drones/drone-service dry-run failed: admission webhook "vpol.validate.kyverno.svc-fail" denied the request: ` +
	`Policy foundry-image failed: [C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@` + imageX + ` isn't known; Policy non-root failed: [C5/F6] a container may run as root. Set runAsNonRoot: true.; ` +
	"Policy non-root failed: [C5/F6] a container is privileged.\nConfigMap/drones/settings created\n"

// report records what the status of Kustomizations says, by a collector that has just started.
func report(t *testing.T, tr *trace, statuses ...reconciliation) {
	t.Helper()
	k := NewKustomizations(newCluster(), "flux-system", tr.options())
	withTestClock(k.recorder)
	k.targets["flux-system/tenant-drones"] = fluxTarget{source: "druppie/fleet", namespace: "drones"}
	for _, r := range statuses {
		drafts, err := k.drafts(t.Context(), r)
		if err == nil {
			err = k.tryPut(t.Context(), drafts)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFlux(t *testing.T) {
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	const isApplied = "deployment passed namespace:drones revision:%s | Kustomization/tenant-drones"
	a, b := fmt.Sprintf(isApplied, "aaaaaaaa"), fmt.Sprintf(isApplied, "bbbbbbbb")
	tests := []struct {
		name     string
		statuses []reconciliation
		want     []string
	}{
		{"a revision is applied, and stays so", []reconciliation{finished(revA, minute(0)), applied(revA, minute(0), minute(2))}, []string{a}},
		{"the next one", []reconciliation{finished(revA, minute(0)), finished(revB, minute(1))}, []string{a, b}},
		{"set back to what was applied before, and on again", []reconciliation{
			finished(revA, minute(0)), finished(revB, minute(1)), finished(revA, minute(3)), applied(revA, minute(3), minute(4)), finished(revB, minute(7)),
		}, []string{a, b, a, b}},
		{"refused, again and again", []reconciliation{
			failing(revA, "ReconciliationFailed", refusedByTwo, minute(0)),
			failing(revA, "ReconciliationFailed", refusedByTwo, minute(1)),
			failing(revB, "ReconciliationFailed", refusedByTwo, minute(2)),
		}, []string{
			"admission denied image:2d711642 namespace:drones revision:aaaaaaaa | Deployment/drone-service foundry-image: [C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@" + imageX + " isn't known",
			"admission denied namespace:drones revision:aaaaaaaa | Deployment/drone-service non-root: [C5/F6] a container may run as root. Set runAsNonRoot: true.; [C5/F6] a container is privileged.",
			"admission denied image:2d711642 namespace:drones revision:bbbbbbbb | Deployment/drone-service foundry-image: [C4/F6] registry.foundry.svc.cluster.local:5000/druppie/drone-service@" + imageX + " isn't known",
			"admission denied namespace:drones revision:bbbbbbbb | Deployment/drone-service non-root: [C5/F6] a container may run as root. Set runAsNonRoot: true.; [C5/F6] a container is privileged.",
		}},
		{"can't be pruned, each time after another while", []reconciliation{
			failing(revA, "PruneFailed", "Job/drones/x not deleted after 30.01s", minute(0)),
			failing(revA, "PruneFailed", "Job/drones/x not deleted after 1m29.9s", minute(1)),
			failing(revA, "PruneFailed", "Job/drones/y not deleted after 30.01s", minute(2)),
		}, []string{
			"deployment failed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Job/drones/x not deleted after 30.01s",
			"deployment failed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Job/drones/y not deleted after 30.01s",
		}},
		{"can't be built", []reconciliation{failing(revA, "BuildFailed", "kustomize build failed: accumulating resources", minute(0))},
			[]string{"deployment failed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones kustomize build failed: accumulating resources"}},
		{"no answer is no refusal by a policy", []reconciliation{
			failing(revA, "ReconciliationFailed", `Deployment/drones/x dry-run failed (InternalError): Internal error occurred: failed calling webhook "vpol.validate.kyverno.svc-fail": no endpoints`, minute(0)),
		}, []string{`deployment failed namespace:drones revision:aaaaaaaa | Kustomization/tenant-drones Deployment/drones/x dry-run failed (InternalError): Internal error occurred: failed calling webhook "vpol.validate.kyverno.svc-fail": no endpoints`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			report(t, tr, tt.statuses...)
			if diff := cmp.Diff(tt.want, tr.lines(fluxLine(t))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			report(t, tr, tt.statuses...) // a replay, after a restart
			if diff := cmp.Diff(tt.want, tr.lines(fluxLine(t))); diff != "" {
				t.Errorf("records after a replay (-want +got):\n%s", diff)
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

// The status says that a revision is applied again; it may be older than what is recorded.
func TestStatusSetBack(t *testing.T) {
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	revC := "main@sha1:" + strings.Repeat("c", 40)
	recorded := []reconciliation{finished(revA, minute(0)), finished(revB, minute(5))}
	tests := []struct {
		name   string
		status reconciliation
		want   []string // besides what was reported
	}{
		{"B stands", applied(revB, minute(5), minute(7)), nil},
		{"A stood", applied(revA, minute(0), minute(4)), nil},
		{"A stands again", applied(revA, minute(0), minute(7)), []string{"12:07 aaaaaaaa"}},
		{"C has what A had", applied(revC, minute(0), minute(7)), []string{"12:07 cccccccc"}},
		{"C is new", applied(revC, minute(6), minute(7)), []string{"12:06 cccccccc"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrace(t)
			report(t, tr, recorded...)
			report(t, tr, tt.status)
			report(t, tr, tt.status)
			var got []string
			for _, r := range tr.records()[len(recorded):] {
				got = append(got, r.At.Format("15:04")+" "+payload[tracedb.Deployment](t, r.Payload).Revision[:8])
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
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
