package why_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// samples is a record of every kind.
func samples(t *testing.T) []tracedb.Record {
	t.Helper()
	ref := func(pairs ...string) (out []tracedb.Ref) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, tracedb.Ref{Type: tracedb.RefType(pairs[i]), Value: pairs[i+1]})
		}
		return out
	}
	body := func(v any) json.RawMessage {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	until := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	record := func(kind tracedb.Kind, outcome tracedb.Outcome, v any, pairs ...string) tracedb.Record {
		raw := body(v)
		return tracedb.Record{Entry: tracedb.Entry{Kind: kind, Actor: "gitea:builder", Outcome: outcome, Refs: ref(pairs...), Size: len(raw)}, Payload: raw}
	}
	report := attest.ConformanceReport(attest.About{Repository: "druppie/platform", Commit: whytest.Commit2}, json.RawMessage(
		`{"schema":"druppie.io/conformance/v1","kind":"check","ended":"2026-01-31T12:00:00Z","controls":[{"id":"C1","verdict":"holds"},{"id":"C2","verdict":"not there"},{"id":"C3","verdict":"broken"}]}`))
	conformance, err := attest.Sign(whytest.Key(), report)
	if err != nil {
		t.Fatal(err)
	}
	out := []tracedb.Record{
		record(tracedb.KindConformance, tracedb.Failed, conformance, "commit", whytest.Commit2, "repository", "druppie/platform"),
		record(tracedb.KindReview, tracedb.Rejected, tracedb.Review{Repository: "o/r", Pull: 4, Author: "builder", Reviewer: "reviewer", Reason: "no test for the wind"}, "pull", "o/r#4"),
		record(tracedb.KindReview, tracedb.Commented, tracedb.Review{Repository: "o/r", Pull: 4, Author: "builder", Reviewer: "reviewer"}, "pull", "o/r#4"),
		record(tracedb.KindRun, tracedb.Failed, tracedb.Run{Run: "foundry/x", Reason: "Failed", Message: "a task failed", Tasks: []tracedb.Task{{Name: "clone", Outcome: tracedb.Passed}, {Name: "test", Outcome: tracedb.Failed, Message: "1 of 3 failed"}, {Name: "withdraw", Message: "skipped: PipelineRun was stopping"}}}, "run", "foundry/x"),
		record(tracedb.KindDrift, tracedb.Failed, tracedb.Drift{Namespace: "drones", Object: "Deployment/drone", Want: "replicas: 1", Got: "replicas: 3", By: "kubectl-scale"}, "namespace", "drones"),
		record(tracedb.KindDrift, tracedb.Undone, tracedb.Drift{Namespace: "drones", Object: "Deployment/drone", By: "kubectl-scale"}, "namespace", "drones"),
		record(tracedb.KindDeployment, tracedb.Failed, tracedb.Deployment{Namespace: "flux-system", Object: "Kustomization/fleet", Reason: "HealthCheckFailed", Message: "denied by register"}, "namespace", "flux-system"),
		record(tracedb.KindDeployment, tracedb.Gone, tracedb.Deployment{Namespace: "drones", Object: "Pod/drone-0"}, "pod", "drones/drone-0"),
		record(tracedb.KindReview, tracedb.Undone, tracedb.Review{Repository: "o/r", Pull: 4, Author: "builder", Reviewer: "reviewer"}, "pull", "o/r#4"),
		record(tracedb.KindRequest, tracedb.Allowed, tracedb.Request{User: "kubernetes-admin", Verb: "create", Resource: "pods/exec", Namespace: "drones", Name: "drone-0", Code: 101, Client: "kubectl/v1.36.0"}, "pod", "drones/drone-0"),
		record(tracedb.KindRequest, tracedb.Denied, tracedb.Request{User: "kubernetes-admin", As: "system:serviceaccount:drones:default", Verb: "patch", Resource: "configmaps", Namespace: "foundry", Name: "ca", Code: 403, Reason: "cannot patch"}, "namespace", "foundry"),
		record(tracedb.KindIncident, "", tracedb.Incident{Namespace: "drones", Object: "Deployment/drone", Summary: "it answers 500"}, "namespace", "drones"),
		record(tracedb.KindRepair, "", tracedb.Repair{Incident: 7, Commit: whytest.Commit2, Summary: "catch the missing wind"}, "record", "7", "commit", whytest.Commit2),
		record(tracedb.KindException, "", tracedb.Exception{Algorithm: whytest.Algorithm, Rule: "status", Until: until, Reason: "the season ends", GrantedBy: "ciso"}, "algorithm", whytest.Algorithm),
		record(tracedb.KindKey, "", tracedb.Key{Name: "foundry", Fingerprint: whytest.Fingerprint(), Retired: true}, "key", whytest.Fingerprint()),
		record(tracedb.KindRefusal, tracedb.Denied, tracedb.Refusal{Kind: tracedb.KindProvenance, Code: "invalid_signature", Reason: "no key of the keyring made this signature"}),
		record(tracedb.KindRead, "", tracedb.Read{What: "why", Of: whytest.Algorithm}),
		record(tracedb.KindDisposal, "", tracedb.Disposal{Kind: tracedb.KindSession, Before: until, Seqs: []int64{9, 4}, Reason: "seven years are over"}),
	}
	seen := map[tracedb.Kind]bool{}
	for _, p := range whytest.History(t) {
		for _, d := range p.Drafts {
			if !seen[d.Kind] {
				seen[d.Kind] = true
				out = append(out, tracedb.Record{Entry: tracedb.Entry{Kind: d.Kind, Actor: d.Actor, Outcome: d.Outcome, Refs: d.Refs, Size: len(d.Payload)}, Payload: d.Payload})
			}
		}
	}
	for _, info := range tracedb.Kinds() {
		seen := false
		for _, r := range out {
			seen = seen || r.Kind == info.Kind
		}
		if !seen {
			t.Errorf("no sample of kind %s", info.Kind)
		}
	}
	return out
}

// TestDescribeLanguages holds that what was said in Dutch, too, is told in it, and that only what the
// service itself wrote is known to be English.
func TestDescribeLanguages(t *testing.T) {
	body, err := json.Marshal(tracedb.Admission{Namespace: "drones", Images: []string{}, Policy: "register", Reason: "unknown", ReasonNL: "onbekend", Remedy: "register it"})
	if err != nil {
		t.Fatal(err)
	}
	for writer, lang := range map[string]string{"tracedb": "en", "collector:kyverno": "en", "system:serviceaccount:foundry:builder": ""} {
		en, nl, details := why.Describe(tracedb.Entry{Kind: tracedb.KindAdmission, Writer: writer, Outcome: tracedb.Denied}, body)
		if !strings.Contains(en, "“unknown”") || !strings.Contains(nl, "“onbekend”") {
			t.Errorf("%s: %q, %q", writer, en, nl)
		}
		want := []why.Detail{
			{Name: "namespace", NameNL: "namespace", Value: "drones"}, {Name: "policy", NameNL: "beleid", Value: "register"},
			{Name: "reason", NameNL: "reden", Value: "unknown", ValueNL: "onbekend", Lang: lang},
			{Name: "what to do", NameNL: "wat te doen", Value: "register it", Lang: lang},
		}
		if diff := cmp.Diff(want, details); diff != "" {
			t.Errorf("%s (-want +got):\n%s", writer, diff)
		}
	}
}

func TestDescribe(t *testing.T) {
	var b strings.Builder
	for _, r := range samples(t) {
		en, nl, details := why.Describe(r.Entry, r.Payload)
		bare, bareNL, none := why.Describe(r.Entry, nil)
		fmt.Fprintf(&b, "%s\n  %s\n  %s\n", r.Kind, en, nl)
		for _, d := range details {
			fmt.Fprintf(&b, "    %s / %s: %s\n", d.Name, d.NameNL, d.Value)
		}
		fmt.Fprintf(&b, "  without payload: %s\n                   %s\n", bare, bareNL)
		if len(none) > 0 {
			t.Errorf("%s: without a payload it has details", r.Kind)
		}
		for _, s := range []string{en, nl, bare, bareNL} {
			if s == "" || strings.ContainsAny(s, "{}[]") || strings.Contains(s, "  ") || strings.Contains(s, "“”") {
				t.Errorf("%s: a title reads %q", r.Kind, s)
			}
		}
	}
	golden(t, "describe.txt", []byte(b.String()))
}

// TestDescribeHostile feeds what people could write to mislead a reader or a terminal.
func TestDescribeHostile(t *testing.T) {
	evil := "ok\x1b[2K\r\ngone \u202egnp.exe\u2066\u200b\x00 {actor} [x] " + strings.Repeat("long ", 400) + "\xff"
	raw, err := json.Marshal(tracedb.Review{Repository: "o/r", Pull: 1, Reviewer: evil, Reason: evil, Title: evil})
	if err != nil {
		t.Fatal(err)
	}
	en, nl, details := why.Describe(tracedb.Entry{Kind: tracedb.KindReview, Actor: evil, Outcome: tracedb.Approved}, raw)
	texts := []string{en, nl}
	for _, d := range details {
		texts = append(texts, d.Value)
	}
	for _, s := range texts {
		if len(s) > 4000 {
			t.Errorf("%d bytes", len(s))
		}
		for _, r := range s {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("%U in %.60q", r, s)
			}
		}
	}
	if !strings.Contains(en, "{actor}") {
		t.Errorf("what a person wrote was filled in as if it were ours: %s", en)
	}
	for _, payload := range []string{"", "null", "[]", `"x"`, `{"pull":"NaN"}`, strings.Repeat("[", 100000)} {
		for _, info := range tracedb.Kinds() {
			if en, _, _ := why.Describe(tracedb.Entry{Kind: info.Kind, Actor: "a"}, json.RawMessage(payload)); en == "" {
				t.Errorf("%s with payload %.20q has no title", info.Kind, payload)
			}
		}
	}
}
