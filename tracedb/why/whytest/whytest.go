// Package whytest fills a log with one service's history, for the tests of everybody who shows it: from
// the spec to the pod, a second version that admission refuses, and another service in the same fleet
// that must stay out of it. Its foundry has every gate that the log has a kind for. The platform's own
// attests provenance, test result and verdict, no static analysis, scan or list of parts yet, and its
// promotions are read from the fleet, without pull request or run. It owns no assertions, and refuses
// to leave an attestation unsigned: all are, with a key that the log knows.
package whytest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
)

// The names in the history.
const (
	Repository = "druppie/drone-service"
	Fleet      = "druppie/fleet"
	Tenant     = "drones"
	Algorithm  = "alg-d1jk3vl8"
	Spec       = "spec-12"
	Session    = "session-7"
	Pull       = Repository + "#3"
	FleetPull  = Fleet + "#8"
	Run        = "foundry/release-drone-service-x7k2p"
	Pod        = Tenant + "/drone-service-6d5f7c9b8-abcde"
	PodUID     = "5f2c7c1e-6f0e-4b7e-9d53-0c5a3b1f7e21"
	Other      = "druppie/pump-service"
	OtherID    = "alg-p2mp5rv1"
)

// The hashes in the history.
var (
	Image    = "sha256:" + hex64("image 1")
	Refused  = "sha256:" + hex64("image 2") // the second version
	Foreign  = "sha256:" + hex64("image of another service")
	Head     = hex40("reviewed commit")
	Commit   = hex40("commit on main")
	Commit2  = hex40("second commit on main")
	Revision = hex40("revision of the fleet")
)

// Key signs the history's attestations.
func Key() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("the key of whytest's foundry"))
	return ed25519.NewKeyFromSeed(seed[:])
}

// Fingerprint names the key.
func Fingerprint() string { return attest.Fingerprint(Key().Public()) }

// Start is when the history begins.
var Start = time.Date(2026, 2, 2, 9, 0, 0, 0, time.UTC)

// Clock is a clock for the history's log: it goes a second further whenever it is read.
func Clock() func() time.Time {
	t := Start
	return func() time.Time {
		t = t.Add(time.Second)
		return t
	}
}

// Aging is Clock, and lets eight years go by in its log: something is recorded then, and what is due is
// disposed of.
func Aging() (clock func() time.Time, age func(testing.TB, *log.Log)) {
	start, later := Clock(), time.Duration(0)
	clock = func() time.Time { return start().Add(later) }
	return clock, func(t testing.TB, l *log.Log) {
		t.Helper()
		later = Start.AddDate(8, 0, 0).Sub(Start)
		late := log.Prepared{Draft: tracedb.Draft{ID: "eight years later", Kind: tracedb.KindIncident, Payload: json.RawMessage(`{"summary":"nothing of the story"}`)}}
		if _, err := l.Append(t.Context(), "later", []log.Prepared{late}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Dispose(t.Context(), Start.Add(later)); err != nil {
			t.Fatal(err)
		}
	}
}

// Part is what one writer adds at once.
type Part struct {
	Writer string
	Drafts []log.Prepared
}

// Fill adds the whole history to the log.
func Fill(t testing.TB, l *log.Log) {
	t.Helper()
	for _, p := range History(t) {
		if _, err := l.Append(t.Context(), p.Writer, p.Drafts); err != nil {
			t.Fatalf("add to the log: %v", err)
		}
	}
}

// History is all of it, in order.
func History(t testing.TB) []Part {
	t.Helper()
	b := &builder{t: t, at: Start}
	b.keyring()
	b.idea()
	b.code()
	b.foundry(Image, Commit, Run, nil)
	b.register("In gebruik", Commit)
	b.delivery()
	b.elsewhere()
	b.secondVersion()
	return b.parts
}

func hex64(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
func hex40(s string) string { return hex64(s)[:40] }

// builder collects the parts of a history.
type builder struct {
	t     testing.TB
	at    time.Time
	parts []Part
	n     int
	id    string // of the next record; empty: its kind and number
}

// add writes one record; refs are type and value by turns.
func (b *builder) add(writer string, kind tracedb.Kind, actor string, outcome tracedb.Outcome, payload any, refs ...string) {
	b.t.Helper()
	raw, ok := payload.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(payload); err != nil {
			b.t.Fatal(err)
		}
	}
	b.n++
	defer func() { b.id = "" }()
	b.at = b.at.Add(time.Minute)
	d := tracedb.Draft{ID: cmp.Or(b.id, fmt.Sprintf("%s-%d", kind, b.n)), Kind: kind, Actor: actor, At: b.at, Outcome: outcome, Payload: raw}
	for i := 0; i < len(refs); i += 2 {
		d.Refs = append(d.Refs, tracedb.Ref{Type: tracedb.RefType(refs[i]), Value: refs[i+1]})
	}
	facts, err := ingest.Facts(tracedb.Entry{Kind: d.Kind, Actor: d.Actor, At: d.At, Outcome: d.Outcome, Refs: tracedb.SortRefs(d.Refs)}, d.Payload)
	if err != nil {
		b.t.Fatalf("facts of %s: %v", d.ID, err)
	}
	b.parts = append(b.parts, Part{writer, []log.Prepared{{Draft: d, Facts: facts}}})
}

func (b *builder) keyring() {
	public, err := cryptoutils.MarshalPublicKeyToPEM(Key().Public())
	if err != nil {
		b.t.Fatal(err)
	}
	b.add("tracedb", tracedb.KindKey, "tracedb", "", tracedb.Key{Name: "foundry", Fingerprint: Fingerprint(), PEM: string(public)}, "key", Fingerprint())
}

func (b *builder) idea() {
	b.add("gitea:builder", tracedb.KindSpec, "user", "", tracedb.Spec{
		Spec: Spec, Title: "Plan flights over a dike section", RequestedBy: "user", Repository: Repository,
		Text: "Inspectors draw a section of a dike and get a flight plan.\nThe drone must come back with a tenth of its battery left.",
	}, "spec", Spec, "repository", Repository)
	b.add("gitea:builder", tracedb.KindSession, "builder", "", tracedb.Session{
		Session: Session, Spec: Spec, AskedBy: "user", Model: "a-large-model", Tool: "builder-agent", PromptDigest: "sha256:" + hex64("prompt"),
		Repository: Repository, Commit: Head,
	}, "session", Session, "spec", Spec, "repository", Repository, "commit", Head)
}

func (b *builder) code() {
	b.add("collector:gitea", tracedb.KindCommit, "builder", "", tracedb.Commit{
		Repository: Repository, Branch: "flight-plan", Commit: Head, Author: "builder", Pusher: "builder",
		Message: "Plan parallel tracks with overlap", Others: []string{hex40("first commit")},
	}, "repository", Repository, "commit", Head, "commit", hex40("first commit"))
	b.add("collector:tekton", tracedb.KindRun, "system:serviceaccount:foundry:pipeline", tracedb.Passed, tracedb.Run{
		Run: "foundry/verify-drone-service-2mq4c", UID: "u-1", Pipeline: "verify", Repository: Repository, Commit: Head, Reason: "Succeeded",
		Tasks: []tracedb.Task{{Name: "test", Outcome: tracedb.Passed}, {Name: "check", Outcome: tracedb.Passed}},
	}, "run", "foundry/verify-drone-service-2mq4c", "repository", Repository, "commit", Head)
	b.add("collector:gitea", tracedb.KindReview, "reviewer", tracedb.Approved, tracedb.Review{
		Repository: Repository, Pull: 3, Title: "Plan flights", Author: "builder", Reviewer: "reviewer", Reason: "the margins are tested; go", Commit: Head,
	}, "repository", Repository, "pull", Pull, "commit", Head)
	b.add("collector:gitea", tracedb.KindMerge, "reviewer", "", tracedb.Merge{
		Repository: Repository, Pull: 3, Title: "Plan flights", Author: "builder", MergedBy: "reviewer", Head: Head, Commit: Commit,
	}, "repository", Repository, "pull", Pull, "commit", Head, "commit", Commit)
	b.add("collector:gitea", tracedb.KindCommit, "reviewer", "", tracedb.Commit{
		Repository: Repository, Branch: "main", Commit: Commit, Author: "builder", Pusher: "reviewer", Message: "Merge pull request 3",
		Others: []string{Head, hex40("first commit")},
	}, "repository", Repository, "commit", Commit, "commit", Head, "commit", hex40("first commit"))
}

// foundry is a run that ends in an image.
func (b *builder) foundry(image, commit, run string, found []attest.Vulnerability) {
	about := attest.About{Image: names.RegistryHost + "/" + Repository, Digest: image, Repository: Repository, Commit: commit, Run: run}
	refs := []string{"image", image, "commit", commit, "repository", Repository, "run", run}
	signed := append([]string{"key", Fingerprint()}, refs...)
	writer := "system:serviceaccount:foundry:step-record"
	attested := func(kind tracedb.Kind, outcome tracedb.Outcome, st attest.Statement) {
		b.t.Helper()
		envelope, err := attest.Sign(Key(), st)
		if err != nil {
			b.t.Fatalf("sign %s: %v", kind, err)
		}
		b.add(writer, kind, writer, outcome, envelope, signed...)
	}
	attested(tracedb.KindTestResult, tracedb.Passed, attest.TestResult(about, attest.Tests{Suite: "python -m unittest", Passed: []string{"test_overlap", "test_reserve", "test_limits"}}))
	attested(tracedb.KindSARIF, tracedb.Passed, attest.SARIF(about, attest.Analysis{Tool: "ruff", Version: "0.14.1", Result: "PASSED",
		Results: []attest.Finding{{Rule: "E501", Level: "note", Message: "line too long", File: "plan.py", Line: 40}}}))
	attested(tracedb.KindVulns, tracedb.Passed, attest.Vulns(about, attest.Scan{Scanner: "pkg:golang/github.com/aquasecurity/trivy", Version: "0.65.0",
		DBUpdated: Start.Add(-24 * time.Hour), Started: b.at, Finished: b.at.Add(time.Second), Found: found, Result: "PASSED"}))
	attested(tracedb.KindSBOM, "", attest.SBOM(about, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"flask","version":"3.1.2"}]}`)))
	attested(tracedb.KindVerdict, tracedb.Passed, attest.Verdict(about, attest.Gate{Verifier: "https://druppie.io/foundry", Created: b.at, Passed: []string{"FOUNDRY_TESTS", "FOUNDRY_SCAN", "FOUNDRY_REGISTER"}}))
	b.add(writer, tracedb.KindImage, writer, "", tracedb.Image{Image: about.Image, Digest: image, Repository: Repository, Commit: commit, Run: run}, refs...)
	b.add(writer, tracedb.KindSignature, writer, "", tracedb.Signature{Digest: image, Key: Fingerprint(), Run: run, Commit: commit}, signed...)
	attested(tracedb.KindProvenance, "", attest.Provenance(about, attest.Build{Builder: "https://druppie.io/foundry/kaniko", Source: "https://" + names.GiteaHost + "/" + Repository,
		Started: b.at.Add(-time.Minute), Finished: b.at, Images: map[string]string{"docker.io/library/python:3.14-slim": "sha256:" + hex64("base")}}))
	b.add("collector:tekton", tracedb.KindRun, "system:serviceaccount:foundry:pipeline", tracedb.Passed, tracedb.Run{
		Run: run, UID: "u-" + run, Pipeline: "release", Repository: Repository, Commit: commit, Image: image, Reason: "Succeeded",
		Started: b.at.Add(-10 * time.Minute), Finished: b.at,
		Tasks: []tracedb.Task{{Name: "clone", Outcome: tracedb.Passed}, {Name: "test", Outcome: tracedb.Passed}, {Name: "build", Outcome: tracedb.Passed},
			{Name: "scan", Outcome: tracedb.Passed}, {Name: "push", Outcome: tracedb.Passed}, {Name: "sign", Outcome: tracedb.Passed},
			{Name: "withdraw", Message: "skipped: When Expressions evaluated to false"}},
	}, refs...)
}

// Source is a valid algorithm.yaml.
func Source(id, status string) string {
	return fmt.Sprintf(`schema: druppie.io/algorithm/v1
id: %s
register:
  standard_version: "1.0"
  name: Vluchtplanner dijkinspectie
  description_short: Berekent voor een dijkvak een vluchtplan voor een drone.
  organization: Voorbeeldwaterschap
  status: %s
  publication_category: Overige algoritmes
  contact_email: algoritmes@waterschap.example
  lang: nld
ai_act_profile:
  type: niet-impactvol algoritme
  role: [gebruiksverantwoordelijke]
  risk_group: geen hoog-risico AI
  transparency_obligations: geen transparantieverplichting
owners:
  - {organization: Voorbeeldwaterschap, email: algoritmes@waterschap.example}
`, id, status)
}

func (b *builder) register(status, commit string) {
	b.add("system:serviceaccount:foundry:step-record", tracedb.KindRegister, "system:serviceaccount:foundry:step-record", "", tracedb.RegisterEntry{
		Repository: Repository, Commit: commit, Source: Source(Algorithm, status),
	}, "repository", Repository, "commit", commit, "algorithm", Algorithm)
}

func (b *builder) delivery() {
	b.add("collector:gitea", tracedb.KindReview, "reviewer", tracedb.Approved, tracedb.Review{
		Repository: Fleet, Pull: 8, Author: "promoter", Reviewer: "reviewer", Reason: "the trace proves this digest", Commit: hex40("fleet branch"),
	}, "repository", Fleet, "pull", FleetPull, "revision", hex40("fleet branch"))
	b.add("collector:gitea", tracedb.KindMerge, "reviewer", "", tracedb.Merge{
		Repository: Fleet, Pull: 8, Author: "promoter", MergedBy: "reviewer", Head: hex40("fleet branch"), Commit: Revision,
	}, "repository", Fleet, "pull", FleetPull, "revision", hex40("fleet branch"), "revision", Revision)
	b.add("system:serviceaccount:foundry:step-record", tracedb.KindPromotion, "promoter", "", tracedb.Promotion{
		Digest: Image, Repository: Repository, Commit: Commit, Fleet: Fleet, Pull: 8, Revision: Revision, Tenant: Tenant, Run: Run,
	}, "image", Image, "repository", Repository, "commit", Commit, "pull", FleetPull, "revision", Revision, "namespace", Tenant, "run", Run)
	b.add("collector:flux", tracedb.KindDeployment, "kustomize-controller", tracedb.Passed, tracedb.Deployment{
		Namespace: "flux-system", Object: "Kustomization/fleet", Revision: Revision, Source: Fleet, Reason: "ReconciliationSucceeded",
	}, "revision", Revision, "repository", Fleet)
	b.id = "admission/" + PodUID
	b.add("tracedb", tracedb.KindAdmission, "kyverno", tracedb.Allowed, tracedb.Admission{
		Namespace: Tenant, Resource: "Pod/drone-service-6d5f7c9b8-abcde", Images: []string{Image}, Algorithm: Algorithm, Policy: "register",
		Reason: "the register has this image's repository as alg-d1jk3vl8, in use",
	}, "image", Image, "namespace", Tenant, "algorithm", Algorithm, "pod", Pod)
	b.id = "pod/" + PodUID + "/running"
	b.add("collector:pods", tracedb.KindDeployment, "kubelet", tracedb.Running, tracedb.Deployment{
		Namespace: Tenant, Object: "Pod/drone-service-6d5f7c9b8-abcde", Images: []string{Image}, Algorithm: Algorithm, Node: "druppie-worker",
	}, "image", Image, "namespace", Tenant, "algorithm", Algorithm, "pod", Pod)
}

// elsewhere is what happens to another service: the same session's agent, the same fleet, the same tenant.
func (b *builder) elsewhere() {
	commit := hex40("commit of another service")
	b.add("gitea:builder", tracedb.KindSession, "builder", "", tracedb.Session{Session: "session-8", Spec: "spec-13", AskedBy: "user", Model: "a-large-model", Tool: "builder-agent", Repository: Other, Commit: commit},
		"session", "session-8", "spec", "spec-13", "repository", Other, "commit", commit)
	b.add("system:serviceaccount:foundry:step-record", tracedb.KindImage, "system:serviceaccount:foundry:step-record", "", tracedb.Image{Digest: Foreign, Repository: Other, Commit: commit},
		"image", Foreign, "repository", Other, "commit", commit)
	b.add("system:serviceaccount:foundry:step-record", tracedb.KindPromotion, "promoter", "", tracedb.Promotion{
		Digest: Foreign, Repository: Other, Commit: commit, Fleet: Fleet, Revision: Revision, Tenant: Tenant,
	}, "image", Foreign, "repository", Other, "commit", commit, "revision", Revision, "namespace", Tenant)
	b.add("collector:pods", tracedb.KindDeployment, "kubelet", tracedb.Running, tracedb.Deployment{
		Namespace: Tenant, Object: "Pod/pump-service-0", Images: []string{Foreign}, Algorithm: OtherID, Revision: Revision,
	}, "image", Foreign, "namespace", Tenant, "algorithm", OtherID, "pod", Tenant+"/pump-service-0", "revision", Revision)
	b.add("tracedb", tracedb.KindRead, "gitea:auditor", "", tracedb.Read{What: "why", Of: Image}, "image", Image)
}

// secondVersion is built while its entry says that it is out of use, with a vulnerability, and is
// refused at admission.
func (b *builder) secondVersion() {
	run := "foundry/release-drone-service-q9w3z"
	b.add("collector:gitea", tracedb.KindCommit, "builder", "", tracedb.Commit{
		Repository: Repository, Branch: "main", Commit: Commit2, Author: "builder", Pusher: "reviewer", Message: "Take the planner out of use",
	}, "repository", Repository, "commit", Commit2)
	b.foundry(Refused, Commit2, run, []attest.Vulnerability{{ID: "CVE-2026-0001", Severity: "HIGH", Package: "flask@3.1.2", Fixed: "3.1.3"}})
	b.register("Buiten gebruik", Commit2)
	b.add(names.AuditAccount, tracedb.KindAdmission, "kyverno", tracedb.Denied, tracedb.Admission{
		Namespace: Tenant, Resource: "ReplicaSet/drone-service-7c8d9e0f1", Images: []string{Refused}, Algorithm: Algorithm,
		User: "system:serviceaccount:kube-system:replicaset-controller", Policy: "register-id", Reason: "the register says that alg-d1jk3vl8 is out of use",
	}, "image", Refused, "namespace", Tenant, "algorithm", Algorithm)
	b.add("tracedb", tracedb.KindAdmission, "kyverno", tracedb.Denied, tracedb.Admission{
		Namespace: Tenant, Resource: "Pod/drone-service-7c8d9e0f1-fghij", Images: []string{Refused}, Algorithm: Algorithm, Policy: "register",
		Reason: "the register says that alg-d1jk3vl8 is out of use", Remedy: "set register.status to In gebruik, or ask the CISO for an exception",
	}, "image", Refused, "namespace", Tenant, "algorithm", Algorithm)
}
