package ingest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/register/registertest"
)

var (
	digest = "sha256:" + strings.Repeat("1f", 32)
	sha    = strings.Repeat("2e", 20)
	noon   = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	about  = attest.About{Image: "registry/druppie/drone", Digest: digest, Repository: "druppie/drone", Commit: sha, Run: "foundry/release-1"}
)

const (
	algorithm = registertest.ID
	source    = registertest.Minimal
)

// bench is an Ingester with a log of its own, where the clock stands still.
type bench struct {
	*Ingester
	log   *log.Log
	key   *ecdsa.PrivateKey
	now   time.Time
	ring  []attest.KeyFile
	files string
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (b *bench) keyFile(t testing.TB, name string, pub crypto.PublicKey, kinds ...tracedb.Kind) attest.KeyFile {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(b.files, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return attest.KeyFile{Name: name, File: file, Kinds: kinds}
}

func newBench(t testing.TB, options ...logtest.Option) *bench {
	t.Helper()
	b := &bench{log: logtest.New(t, options...), key: newKey(t), now: noon, files: t.TempDir()}
	b.ring = []attest.KeyFile{b.keyFile(t, "foundry", b.key.Public(), "*")}
	keyring, err := attest.LoadKeyring(b.ring)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Open(t.Context(), b.log)
	if err != nil {
		t.Fatal(err)
	}
	b.Ingester = New(Options{Log: b.log, Keyring: keyring, Catalog: c, Now: func() time.Time { return b.now }})
	return b
}

// unaware is a catalog of another log, which knows nothing of what this one took.
func unaware(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), logtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// writer may write every kind that a client may.
func writer() tracedb.Identity {
	who := tracedb.Identity{Name: "system:serviceaccount:foundry:step-record", Roles: []tracedb.Role{tracedb.RoleWriter}}
	for _, info := range tracedb.Kinds() {
		if !info.Internal {
			who.Kinds = append(who.Kinds, info.Kind)
		}
	}
	return who
}

func (b *bench) sign(t testing.TB, st attest.Statement) json.RawMessage {
	t.Helper()
	envelope, err := attest.Sign(b.key, st)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func raw(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := tracedb.EncodeJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// good is one good draft of every kind that a client may write, with an incident for the repair at
// the place given.
func (b *bench) good(t testing.TB, incident int64) map[tracedb.Kind]tracedb.Draft {
	t.Helper()
	drafts := []tracedb.Draft{
		{Kind: tracedb.KindSpec, Payload: raw(t, tracedb.Spec{Spec: "spec-1", Title: "Drone", RequestedBy: "piet", Text: "fly", Repository: "druppie/drone"})},
		{Kind: tracedb.KindSession, Payload: raw(t, tracedb.Session{Session: "s-1", Spec: "spec-1", AskedBy: "piet", Model: "m", Tool: "builder", PromptDigest: digest, Repository: "druppie/drone", Commit: sha})},
		{Kind: tracedb.KindCommit, Payload: raw(t, tracedb.Commit{Repository: "druppie/drone", Branch: "main", Commit: sha, Author: "agent", Pusher: "builder", Message: "Fly", Others: []string{strings.Repeat("3d", 20)}})},
		{Kind: tracedb.KindReview, Outcome: tracedb.Approved, Payload: raw(t, tracedb.Review{Repository: "druppie/drone", Pull: 7, Author: "builder", Reviewer: "anna", Reason: "good", Commit: sha})},
		{Kind: tracedb.KindMerge, Payload: raw(t, tracedb.Merge{Repository: "druppie/drone", Pull: 7, Author: "builder", MergedBy: "anna", Head: strings.Repeat("3d", 20), Commit: sha})},
		{Kind: tracedb.KindRun, Outcome: tracedb.Passed, Payload: raw(t, tracedb.Run{Run: "foundry/release-1", UID: "u", Pipeline: "release", Repository: "druppie/drone", Commit: sha, Image: digest, Reason: "Succeeded", Tasks: []tracedb.Task{{Name: "test", Outcome: tracedb.Passed}}})},
		{Kind: tracedb.KindImage, Payload: raw(t, tracedb.Image{Image: "registry/druppie/drone", Digest: digest, Repository: "druppie/drone", Commit: sha, Run: "foundry/release-1"})},
		{Kind: tracedb.KindSignature, Payload: raw(t, tracedb.Signature{Digest: digest, Key: attest.Fingerprint(b.key.Public()), Run: "foundry/release-1"})},
		{Kind: tracedb.KindPromotion, Payload: raw(t, tracedb.Promotion{Digest: digest, Repository: "druppie/drone", Commit: sha, Fleet: "druppie/fleet", Pull: 3, Tenant: "drones"})},
		{Kind: tracedb.KindAdmission, Outcome: tracedb.Denied, Payload: raw(t, tracedb.Admission{Namespace: "drones", Resource: "Pod/drone-1", Images: []string{digest, "evil:latest"}, Algorithm: "not an id", Policy: "signed", Reason: "no signature"})},
		{Kind: tracedb.KindDeployment, Outcome: tracedb.Running, Payload: raw(t, tracedb.Deployment{Namespace: "drones", Object: "Pod/drone-1", Images: []string{"registry/druppie/drone@" + digest}, Algorithm: algorithm})},
		{Kind: tracedb.KindDrift, Outcome: tracedb.Undone, Payload: raw(t, tracedb.Drift{Namespace: "drones", Object: "Deployment/drone", Want: "1", Got: "2", By: "kubectl"})},
		{Kind: tracedb.KindRequest, Outcome: tracedb.Allowed, Payload: raw(t, tracedb.Request{User: "kubernetes-admin", Verb: "create", Resource: "pods/exec", Namespace: "drones", Name: "drone-1", Code: 101})},
		{Kind: tracedb.KindIncident, Payload: raw(t, tracedb.Incident{Namespace: "drones", Object: "Pod/drone-1", Summary: "crashes"})},
		{Kind: tracedb.KindRepair, Payload: raw(t, tracedb.Repair{Incident: incident, Repository: "druppie/drone", Commit: sha, Session: "s-1", Summary: "mended"})},
		{Kind: tracedb.KindRegister, Payload: raw(t, tracedb.RegisterEntry{Repository: "druppie/drone", Commit: sha, Source: source})},
		{Kind: tracedb.KindException, Payload: raw(t, tracedb.Exception{Algorithm: algorithm, Rule: "status", Until: noon.Add(time.Hour), Reason: "flood", GrantedBy: "ciso"})},
		{Kind: tracedb.KindProvenance, Payload: b.sign(t, attest.Provenance(about, attest.Build{Builder: "https://druppie.io/foundry", Finished: noon}))},
		{Kind: tracedb.KindTestResult, Payload: b.sign(t, attest.TestResult(about, attest.Tests{Suite: "unittest", Failed: []string{"test_fly"}}))},
		{Kind: tracedb.KindVulns, Outcome: tracedb.Passed, Payload: b.sign(t, attest.Vulns(about, attest.Scan{Scanner: "pkg:trivy", DBUpdated: noon, Started: noon, Finished: noon}))},
		{Kind: tracedb.KindSARIF, Payload: b.sign(t, attest.SARIF(about, attest.Analysis{Tool: "ruff", Version: "1", Result: "PASSED"}))},
		{Kind: tracedb.KindSBOM, Payload: b.sign(t, attest.SBOM(about, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`)))},
		{Kind: tracedb.KindConformance, Payload: b.sign(t, attest.ConformanceReport(about, json.RawMessage(`{"schema":"druppie.io/conformance/v1","kind":"check","ended":"2026-01-31T12:00:00Z","controls":[{"id":"C1","verdict":"holds"},{"id":"C2","verdict":"not there"}],"mutations":[]}`)))},
		{Kind: tracedb.KindVerdict, Payload: b.sign(t, attest.Verdict(about, attest.Gate{Verifier: "https://druppie.io/gate", Created: noon, Passed: []string{"FOUNDRY_TESTS"}}))},
	}
	out := map[tracedb.Kind]tracedb.Draft{}
	for _, d := range drafts {
		d.ID, d.At = "good/"+string(d.Kind), noon.Add(-time.Minute)
		out[d.Kind] = d
	}
	return out
}

func (b *bench) take(t testing.TB, drafts ...tracedb.Draft) []tracedb.Receipt {
	t.Helper()
	receipts, err := b.Append(t.Context(), writer(), drafts)
	if err != nil {
		t.Fatal(err)
	}
	return receipts
}

func (b *bench) incident(t testing.TB) int64 {
	t.Helper()
	return b.take(t, tracedb.Draft{ID: "the-incident", Kind: tracedb.KindIncident, Payload: raw(t, tracedb.Incident{Namespace: "drones", Object: "Pod/drone-1", Summary: "crashes"})})[0].Seq
}

// refusals are the refusals in the log, oldest first.
func (b *bench) refused(t testing.TB) []tracedb.Refusal {
	t.Helper()
	page, err := b.log.Search(t.Context(), tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindRefusal}, Limit: tracedb.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	var out []tracedb.Refusal
	for _, e := range slices.Backward(page.Entries) {
		payload, err := b.log.Payload(t.Context(), e.Seq)
		if err != nil {
			t.Fatal(err)
		}
		var r tracedb.Refusal
		if err := json.Unmarshal(payload, &r); err != nil {
			t.Fatal(err)
		}
		if e.Writer != Writer || e.Outcome != tracedb.Denied {
			t.Errorf("refusal %d was written by %q, outcome %q", e.Seq, e.Writer, e.Outcome)
		}
		out = append(out, r)
	}
	return out
}

// TestAppend takes one record of every kind, and sees what it is about, who did it and how it ended.
func TestAppend(t *testing.T) {
	b := newBench(t)
	key := "key:" + attest.Fingerprint(b.key.Public())
	commit, other := "commit:"+sha, "commit:"+strings.Repeat("3d", 20)
	attested := []string{commit, "image:" + digest, key, "repository:druppie/drone", "run:foundry/release-1"}
	type told struct {
		Actor   string
		Outcome tracedb.Outcome
		Refs    []string
	}
	want := map[tracedb.Kind]told{
		tracedb.KindSpec:        {"piet", "", []string{"repository:druppie/drone", "spec:spec-1"}},
		tracedb.KindSession:     {writer().Name, "", []string{commit, "repository:druppie/drone", "session:s-1", "spec:spec-1"}},
		tracedb.KindCommit:      {"builder", "", []string{commit, other, "repository:druppie/drone"}},
		tracedb.KindReview:      {"anna", tracedb.Approved, []string{commit, "pull:druppie/drone#7", "repository:druppie/drone"}},
		tracedb.KindMerge:       {"anna", "", []string{commit, other, "pull:druppie/drone#7", "repository:druppie/drone"}},
		tracedb.KindRun:         {writer().Name, tracedb.Passed, []string{commit, "image:" + digest, "repository:druppie/drone", "run:foundry/release-1"}},
		tracedb.KindImage:       {writer().Name, "", []string{commit, "image:" + digest, "repository:druppie/drone", "run:foundry/release-1"}},
		tracedb.KindSignature:   {writer().Name, "", []string{"image:" + digest, key, "run:foundry/release-1"}},
		tracedb.KindPromotion:   {writer().Name, "", []string{commit, "image:" + digest, "namespace:drones", "pull:druppie/fleet#3", "repository:druppie/drone"}},
		tracedb.KindAdmission:   {writer().Name, tracedb.Denied, []string{"image:" + digest, "namespace:drones", "pod:drones/drone-1"}},
		tracedb.KindDeployment:  {writer().Name, tracedb.Running, []string{"algorithm:" + algorithm, "image:" + digest, "namespace:drones", "pod:drones/drone-1"}},
		tracedb.KindDrift:       {writer().Name, tracedb.Undone, []string{"namespace:drones"}},
		tracedb.KindRequest:     {"kubernetes-admin", tracedb.Allowed, []string{"namespace:drones", "pod:drones/drone-1"}},
		tracedb.KindIncident:    {writer().Name, "", []string{"namespace:drones", "pod:drones/drone-1"}},
		tracedb.KindRepair:      {writer().Name, "", []string{commit, "record:0", "repository:druppie/drone", "session:s-1"}},
		tracedb.KindRegister:    {writer().Name, "", []string{"algorithm:" + algorithm, commit, "repository:druppie/drone"}},
		tracedb.KindException:   {"ciso", "", []string{"algorithm:" + algorithm}},
		tracedb.KindProvenance:  {"foundry", "", attested},
		tracedb.KindTestResult:  {"foundry", tracedb.Failed, attested},
		tracedb.KindVulns:       {"foundry", tracedb.Passed, attested},
		tracedb.KindSARIF:       {"foundry", tracedb.Passed, attested},
		tracedb.KindSBOM:        {"foundry", "", attested},
		tracedb.KindConformance: {"foundry", tracedb.Passed, attested},
		tracedb.KindVerdict:     {"foundry", tracedb.Passed, attested},
	}
	drafts := b.good(t, b.incident(t))
	for _, info := range tracedb.Kinds() {
		if info.Internal {
			continue
		}
		t.Run(string(info.Kind), func(t *testing.T) {
			draft, ok := drafts[info.Kind]
			if !ok {
				t.Fatal("no good draft shows this kind")
			}
			receipt := b.take(t, draft)[0]
			entries, err := b.log.Entries(t.Context(), receipt.Seq)
			if err != nil {
				t.Fatal(err)
			}
			e := entries[0]
			got := told{Actor: e.Actor, Outcome: e.Outcome}
			for _, r := range e.Refs {
				got.Refs = append(got.Refs, r.String())
			}
			w := want[info.Kind]
			slices.Sort(w.Refs)
			slices.Sort(got.Refs)
			if diff := cmp.Diff(w, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if e.Writer != writer().Name || !e.At.Equal(draft.At) || e.ID != draft.ID {
				t.Errorf("entry = %+v", e)
			}
			if again := b.take(t, draft)[0]; !again.Duplicate || again.Seq != receipt.Seq {
				t.Errorf("offered again: %+v, want a duplicate of %d", again, receipt.Seq)
			}
		})
	}
	if r := b.refused(t); len(r) > 0 {
		t.Errorf("refusals were recorded: %+v", r)
	}
	if got := b.o.Catalog.Decide(catalog.Request{Algorithm: algorithm, Images: []string{digest}}); !got.Allowed {
		t.Errorf("the catalog doesn't know yet what was taken: %+v", got)
	}
}

// TestKindsHaveReaders holds that there is a way in for every kind, and one only.
func TestKindsHaveReaders(t *testing.T) {
	for _, info := range tracedb.Kinds() {
		if _, own := decoders[info.Kind]; own == (len(info.Predicate) > 0) {
			t.Errorf("%s: has a decoder: %t, has predicates: %q", info.Kind, own, info.Predicate)
		}
	}
}

// TestFactsDerivedAgain lets the log hold its tables against what the records say, then throws them
// away and derives them anew.
func TestFactsDerivedAgain(t *testing.T) {
	b := newBench(t, func(o *log.Options) { o.Derive = Facts })
	if err := b.RecordKeyring(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, draft := range b.good(t, b.incident(t)) {
		b.take(t, draft)
	}
	for n := range 20 {
		a := about
		a.Run = fmt.Sprintf("foundry/release-%d", n)
		a.Repository = fmt.Sprintf("druppie/fork-%d", n%3)
		b.take(t,
			tracedb.Draft{ID: fmt.Sprintf("p%d", n), Kind: tracedb.KindProvenance, Payload: b.sign(t, attest.Provenance(a, attest.Build{Builder: "https://druppie.io/foundry", Finished: noon}))},
			tracedb.Draft{ID: fmt.Sprintf("r%d", n), Kind: tracedb.KindRegister, Payload: raw(t, tracedb.RegisterEntry{Repository: "druppie/drone", Commit: fmt.Sprintf("%040x", n), Source: source + "# password=hond" + fmt.Sprint(n) + "\n"})},
		)
	}
	tables := func() (out []tracedb.Fact) {
		for table, key := range map[string]string{catalog.TableImage: digest, catalog.TableOwner: algorithm, catalog.TableIdentity: "druppie/drone", catalog.TableRegister: algorithm, catalog.TableException: algorithm + "/status", TableKey: attest.Fingerprint(b.key.Public())} {
			facts, err := b.log.History(t.Context(), table, key)
			if err != nil || len(facts) == 0 {
				t.Fatalf("%s %s: %d facts, %v", table, key, len(facts), err)
			}
			out = append(out, facts...)
		}
		slices.SortFunc(out, func(x, y tracedb.Fact) int {
			return strings.Compare(fmt.Sprint(x.Table, x.Seq), fmt.Sprint(y.Table, y.Seq))
		})
		return out
	}
	before := tables()
	report, err := b.log.Check(t.Context())
	if err != nil || len(report.Faults) > 0 {
		t.Fatalf("Check() = %+v, %v", report.Faults, err)
	}
	if err := b.log.Rebuild(t.Context(), Facts); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tables()); diff != "" {
		t.Errorf("stored (-) and derived anew (+) differ:\n%s", diff)
	}
	// The control: facts of another mind are noticed.
	other := logtest.New(t, func(o *log.Options) {
		o.Derive = func(e tracedb.Entry, p json.RawMessage) ([]tracedb.Fact, error) { return nil, nil }
	})
	b.o.Log, b.o.Catalog = other, unaware(t)
	b.take(t, b.good(t, 0)[tracedb.KindProvenance])
	if report, err := other.Check(t.Context()); err != nil || len(report.Faults) == 0 {
		t.Errorf("facts that nothing derives were passed: %+v, %v", report, err)
	}
}

// TestInjection holds that hostile text is taken as text and comes back as it was.
func TestInjection(t *testing.T) {
	b := newBench(t)
	for i, text := range []string{
		`'; DROP TABLE records; --`, `<script>alert("1")</script>`, `../../../etc/passwd`, `%s%n{{.}}${jndi:ldap://x}`,
		"line\nbreak\r\ttab", "\u202egnp.exe", `\u0000`, "\x00", `{"kind":"exception"}`, strings.Repeat("<", 1000), "é𝄞", `"`, `\`,
	} {
		draft := tracedb.Draft{ID: fmt.Sprintf("x%d", i), Kind: tracedb.KindCommit, Payload: raw(t, tracedb.Commit{Repository: "druppie/drone", Branch: "main", Commit: sha, Author: "a", Pusher: "p", Message: text})}
		seq := b.take(t, draft)[0].Seq
		payload, err := b.log.Payload(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var got tracedb.Commit
		if err := json.Unmarshal(payload, &got); err != nil || got.Message != text {
			t.Errorf("%q came back as %q, %v", text, got.Message, err)
		}
	}
	if n := b.log.Size(); n != 13 {
		t.Errorf("the log has %d records", n)
	}
}

// TestRefsUnited adds what the writer knows to what the payload says.
func TestRefsUnited(t *testing.T) {
	b := newBench(t)
	good := b.good(t, 0)
	r := func(typ tracedb.RefType, value string) tracedb.Ref { return tracedb.Ref{Type: typ, Value: value} }
	tests := []struct {
		name string
		kind tracedb.Kind
		adds []tracedb.Ref
		want string
	}{
		{"a pull request to a run", tracedb.KindRun, []tracedb.Ref{r(tracedb.RefPull, "druppie/drone#7")}, "commit image pull repository run"},
		{"what the statement says already", tracedb.KindTestResult, []tracedb.Ref{r(tracedb.RefImage, digest), r(tracedb.RefCommit, sha)}, "commit image key repository run"},
		{"a second repository to a commit", tracedb.KindCommit, []tracedb.Ref{r(tracedb.RefRepository, "druppie/fleet")}, "commit commit repository repository"},
		{"a commit of the fleet", tracedb.KindReview, []tracedb.Ref{r(tracedb.RefRevision, sha)}, "pull repository revision"},
		{"a tenant to Flux's own object", "kustomization", []tracedb.Ref{r(tracedb.RefNamespace, "drones")}, "namespace"},
		{"the algorithm to an image", tracedb.KindImage, []tracedb.Ref{r(tracedb.RefAlgorithm, algorithm)}, "algorithm commit image repository run"},
	}
	kustomization := good[tracedb.KindDeployment]
	kustomization.Payload = raw(t, tracedb.Deployment{Namespace: "flux-system", Object: "Kustomization/tenant-drones"})
	good["kustomization"] = kustomization
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := good[tt.kind]
			d.ID, d.Refs = fmt.Sprint(i), tt.adds
			p, err := b.prepare(t.Context(), writer(), d)
			if err != nil {
				t.Fatal(err)
			}
			var types []string
			for _, r := range p.Refs {
				types = append(types, string(r.Type))
			}
			if got := strings.Join(types, " "); got != tt.want {
				t.Errorf("about %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRedacted holds that no secret is on the disk, and that the hash is of what is.
func TestRedacted(t *testing.T) {
	b := newBench(t)
	secret := "hond-in-de-pot-1"
	receipt := b.take(t, tracedb.Draft{ID: "x", Kind: tracedb.KindCommit, Actor: "https://u:" + secret + "@h", Payload: raw(t, tracedb.Commit{
		Repository: "druppie/drone", Branch: "main", Commit: sha, Author: "a", Pusher: "p", Message: "Set password=" + secret + " for <tests>"})})[0]
	payload, err := b.log.Payload(t.Context(), receipt.Seq)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"message":"Set password=[redacted:secret] for <tests>"`; !strings.Contains(string(payload), want) {
		t.Errorf("payload = %s", payload)
	}
	entries, err := b.log.Entries(t.Context(), receipt.Seq)
	if err != nil {
		t.Fatal(err)
	}
	if leaf := string(entries[0].Leaf()); strings.Contains(leaf, secret) || !strings.Contains(leaf, "u:[redacted:password]@h") {
		t.Errorf("leaf = %s", leaf)
	}
	// A secret where the register's document is made from.
	b.take(t, tracedb.Draft{ID: "y", Kind: tracedb.KindRegister, Payload: raw(t, tracedb.RegisterEntry{Repository: "druppie/drone", Commit: sha,
		Source: strings.Replace(source, "Verwacht het", "token="+secret+" verwacht het", 1)})})
	a, _ := b.o.Catalog.Algorithm(algorithm)
	if a.Document.Register.DescriptionShort != "token=[redacted:secret] verwacht het waterpeil van morgen." {
		t.Errorf("the register says %q", a.Document.Register.DescriptionShort)
	}
}

// TestUnavailable passes on what the log says, and counts nothing as refused.
func TestUnavailable(t *testing.T) {
	b := newBench(t)
	draft := b.good(t, 0)[tracedb.KindSpec]
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := b.Append(ctx, writer(), []tracedb.Draft{draft}); err == nil || tracedb.AsError(err).Code != "internal" {
		t.Errorf("with a context that ended: %v", err)
	}
	b.o.Log = full{b.log}
	if _, err := b.Append(t.Context(), writer(), []tracedb.Draft{draft}); tracedb.AsError(err).Code != "full" {
		t.Errorf("with a full disk: %v", err)
	}
	forged := tracedb.Draft{ID: "x", Kind: tracedb.KindKey, Payload: raw(t, tracedb.Key{})}
	if _, err := b.Append(t.Context(), writer(), []tracedb.Draft{forged}); tracedb.AsError(err).Code != "forbidden" {
		t.Errorf("a refusal that couldn't be recorded was answered with %v", err)
	}
	if s := b.Stats(); s.Refused != 1 || s.RefusalsUnrecorded != 1 {
		t.Errorf("Stats() = %+v", s)
	}
}

// full is a log on a full disk.
type full struct{ *log.Log }

func (full) Append(context.Context, string, []log.Prepared) ([]tracedb.Receipt, error) {
	return nil, tracedb.ErrFull
}

func BenchmarkAppend(b *testing.B) {
	who := writer()
	for _, kind := range []tracedb.Kind{tracedb.KindCommit, tracedb.KindVulns} {
		b.Run(string(kind), func(b *testing.B) {
			bench := newBench(b)
			draft := bench.good(b, 0)[kind]
			b.SetBytes(int64(len(draft.Payload)))
			for b.Loop() {
				if _, err := bench.prepare(b.Context(), who, draft); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
