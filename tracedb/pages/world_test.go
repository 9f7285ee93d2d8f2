package pages

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/register"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// now is when the tests' reader reads.
var now = whytest.Start.Add(3 * time.Hour)

var auditor = tracedb.Identity{Name: "gitea:auditor", Roles: []tracedb.Role{tracedb.RoleAuditor}}

// reads only remembers what was read.
type reads struct {
	mu    sync.Mutex
	seen  []tracedb.Read
	fails error
}

func (d *reads) RecordRead(_ context.Context, who tracedb.Identity, read tracedb.Read) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		return d.fails
	}
	if who.Name == "" {
		return errors.New("nobody reads")
	}
	d.seen = append(d.seen, read)
	return nil
}

// world is the pages over a real log.
type world struct {
	t       testing.TB
	log     *log.Log
	catalog *catalog.Catalog
	reads   *reads
	site    *Site
	n       int
	later   time.Duration // added to what the log's clock says
}

// fixedKeys are a signing key for checkpoints that is the same in every run, so that pages are too.
func fixedKeys(t testing.TB) (signer, verifier string) {
	t.Helper()
	seed := sha256.Sum256([]byte("the key of the pages' test log"))
	key := ed25519.NewKeyFromSeed(seed[:])
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("not an Ed25519 key")
	}
	verifier, err := note.NewEd25519VerifierKey(logtest.Origin, pub)
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(verifier, "+")[1]
	return "PRIVATE+KEY+" + logtest.Origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, seed[:]...)), verifier
}

func newWorld(t testing.TB, parts ...whytest.Part) *world {
	t.Helper()
	secret, verifier := fixedKeys(t)
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, reads: &reads{}}
	clock := whytest.Clock()
	w.log = logtest.New(t, logtest.Now(func() time.Time { return clock().Add(w.later) }), func(o *log.Options) { o.Signer = signer })
	w.add(parts...)
	if w.catalog, err = catalog.Open(t.Context(), w.log); err != nil {
		t.Fatal(err)
	}
	w.site = New(Options{Reader: w.log, Catalog: w.catalog, Ingester: w.reads, VerifierKey: verifier, Name: "druppie", Now: func() time.Time { return now }})
	return w
}

func (w *world) add(parts ...whytest.Part) {
	w.t.Helper()
	for _, p := range parts {
		if _, err := w.log.Append(w.t.Context(), p.Writer, p.Drafts); err != nil {
			w.t.Fatalf("tell the story: %v", err)
		}
	}
}

// tell adds one record; refs are type and value by turns.
func (w *world) tell(writer string, kind tracedb.Kind, actor string, outcome tracedb.Outcome, payload any, refs ...string) {
	w.t.Helper()
	w.n++
	w.add(part(w.t, fmt.Sprintf("told-%d", w.n), writer, kind, actor, outcome, payload, refs...))
}

func part(t testing.TB, id, writer string, kind tracedb.Kind, actor string, outcome tracedb.Outcome, payload any, refs ...string) whytest.Part {
	t.Helper()
	raw, ok := payload.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(payload); err != nil {
			t.Fatal(err)
		}
	}
	d := tracedb.Draft{ID: id, Kind: kind, Actor: actor, At: whytest.Start.Add(2 * time.Hour), Outcome: outcome, Payload: raw}
	for i := 0; i < len(refs); i += 2 {
		d.Refs = append(d.Refs, tracedb.Ref{Type: tracedb.RefType(refs[i]), Value: refs[i+1]})
	}
	d.Refs = tracedb.SortRefs(d.Refs)
	return whytest.Part{Writer: writer, Drafts: []log.Prepared{{Draft: d}}}
}

// document is the sample service's entry in the register.
func document(t testing.TB) register.Document {
	t.Helper()
	raw, err := os.ReadFile("../../scenarios/drone-service/algorithm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, violations := register.Validate(raw)
	if len(violations) > 0 {
		t.Fatal(violations)
	}
	return d
}

// entered is what a version of the register adds to the tables.
func entered(t testing.TB, p whytest.Part, d register.Document, repository, commit string) whytest.Part {
	t.Helper()
	value := func(v any) json.RawMessage {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	p.Drafts[0].Facts = []tracedb.Fact{
		{Table: catalog.TableOwner, Key: d.ID, Value: value(catalog.Owned{Repository: repository}), Bound: true},
		{Table: catalog.TableRegister, Key: d.ID, Value: value(catalog.Registered{Repository: repository, Commit: commit, Document: d})},
	}
	return p
}

// story is whytest's, with the register's facts as ingest derives them, and with what else an
// auditor meets: a gate that failed, a review that said no, a refused record, drift, an incident.
func story(t testing.TB) []whytest.Part {
	t.Helper()
	parts := whytest.History(t)
	statuses := []string{register.InUse, register.OutOfUse}
	for i, p := range parts {
		if p.Drafts[0].Kind != tracedb.KindRegister {
			continue
		}
		var said tracedb.RegisterEntry
		if err := json.Unmarshal(p.Drafts[0].Payload, &said); err != nil {
			t.Fatal(err)
		}
		d := document(t)
		d.Register.Status, statuses = statuses[0], statuses[1:]
		if d.ID != whytest.Algorithm {
			t.Fatalf("the sample's id is %s, and the story's %s", d.ID, whytest.Algorithm)
		}
		parts[i] = entered(t, p, d, said.Repository, said.Commit)
	}
	if len(statuses) > 0 {
		t.Fatal("the story has fewer versions of the entry than this needs")
	}
	run := "foundry/release-drone-service-b4d5e"
	failed, err := attest.Sign(whytest.Key(), attest.TestResult(
		attest.About{Repository: whytest.Repository, Commit: whytest.Commit2, Run: run},
		attest.Tests{Suite: "python -m unittest", Passed: []string{"test_overlap"}, Failed: []string{"test_reserve"}}))
	if err != nil {
		t.Fatal(err)
	}
	foundry := "system:serviceaccount:foundry:step-record"
	return append(parts,
		part(t, "more-1", "collector:gitea", tracedb.KindReview, "reviewer", tracedb.Rejected, tracedb.Review{
			Repository: whytest.Repository, Pull: 4, Title: "Fly lower", Author: "builder", Reviewer: "reviewer",
			Reason: "under 40 m the photos no longer overlap: keep the limit", Commit: whytest.Commit2,
		}, "repository", whytest.Repository, "pull", whytest.Repository+"#4", "commit", whytest.Commit2),
		part(t, "more-2", foundry, tracedb.KindTestResult, foundry, tracedb.Failed, failed,
			"repository", whytest.Repository, "commit", whytest.Commit2, "run", run, "key", whytest.Fingerprint()),
		part(t, "more-3", "tracedb", tracedb.KindRefusal, "system:serviceaccount:foundry:step-test", tracedb.Denied, tracedb.Refusal{
			ID: "verdict-9", Kind: tracedb.KindVerdict, Payload: "sha256:" + strings.Repeat("5e", 32), Code: "invalid_signature", Reason: "no key of the keyring made this signature",
		}),
		part(t, "more-4", "collector:pods", tracedb.KindDrift, "kubectl-edit", tracedb.Undone, tracedb.Drift{
			Namespace: whytest.Tenant, Object: "Deployment/drone-service", Want: "replicas: 1", Got: "replicas: 3", By: "kubectl-edit", Revision: whytest.Revision,
		}, "repository", whytest.Repository, "namespace", whytest.Tenant, "revision", whytest.Revision, "image", whytest.Image),
		part(t, "more-5", "collector:pods", tracedb.KindIncident, "kubelet", "", tracedb.Incident{
			Namespace: whytest.Tenant, Object: "Pod/drone-service-6d5f7c9b8-abcde", Images: []string{whytest.Image}, Algorithm: whytest.Algorithm,
			Summary: "the container was restarted three times", Detail: "OOMKilled",
		}, "image", whytest.Image, "algorithm", whytest.Algorithm, "namespace", whytest.Tenant, "pod", whytest.Pod),
	)
}

// as is the site as somebody sees it.
func (w *world) as(who tracedb.Identity) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.site.ServeHTTP(rw, r.WithContext(auth.With(r.Context(), who)))
	})
}

// get reads a page; headers are names and values by turns.
func (w *world) get(who tracedb.Identity, path string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.ask(who, http.MethodGet, path, headers...)
}

func (w *world) ask(who tracedb.Identity, method, path string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.as(who).ServeHTTP(rec, r)
	return rec
}

// denied is the newest record that admission refused.
func (w *world) denied() int64 {
	w.t.Helper()
	page, err := w.log.Search(w.t.Context(), tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindAdmission}, Outcome: tracedb.Denied, Limit: 1})
	if err != nil || len(page.Entries) != 1 {
		w.t.Fatalf("search: %d, %v", len(page.Entries), err)
	}
	return page.Entries[0].Seq
}

// paths are addresses of every page of the story.
func (w *world) paths() []string {
	w.t.Helper()
	out := []string{"/", "/register", "/register/" + whytest.Algorithm, "/service/" + whytest.Repository, "/why", "/why?q=" + whytest.Image,
		"/refusals", "/refusals?what=gates", "/search", "/search?kind=admission&outcome=denied", "/verify", "/nothing"}
	for seq := range w.log.Size() {
		out = append(out, fmt.Sprintf("/record/%d", seq), fmt.Sprintf("/verify?seq=%d", seq))
	}
	return slices.Clip(out)
}
