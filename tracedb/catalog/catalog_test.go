package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/register"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func image(n int) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte{byte(n), byte(n >> 8), byte(n >> 16)}))
}

func raw(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func document(id, status, risk string) register.Document {
	return register.Document{Schema: register.Schema, ID: id, Register: register.Fields{Name: "Drone", Status: status}, AIActProfile: register.Profile{RiskGroup: risk}}
}

// story appends records with the facts that they bring, as ingest would.
type story struct {
	t   testing.TB
	log *log.Log
	n   int
}

func (s *story) add(kind tracedb.Kind, refs []tracedb.Ref, facts ...tracedb.Fact) int64 {
	s.t.Helper()
	s.n++
	receipts, err := s.log.Append(context.Background(), "test", []log.Prepared{{
		Draft: tracedb.Draft{ID: fmt.Sprint(s.n), Kind: kind, Refs: refs, Payload: json.RawMessage(`{}`)},
		Facts: facts,
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	return receipts[0].Seq
}

func (s *story) built(digest, repository string) int64 {
	s.t.Helper()
	return s.add(tracedb.KindProvenance, []tracedb.Ref{{Type: tracedb.RefImage, Value: digest}},
		tracedb.Fact{Table: TableImage, Key: digest, Value: raw(s.t, Built{Repository: repository, Commit: strings.Repeat("a", 40)})})
}

func (s *story) registered(repository string, d register.Document) int64 {
	s.t.Helper()
	return s.add(tracedb.KindRegister, []tracedb.Ref{{Type: tracedb.RefAlgorithm, Value: d.ID}},
		tracedb.Fact{Table: TableOwner, Key: d.ID, Value: raw(s.t, Owned{repository}), Bound: true},
		tracedb.Fact{Table: TableRegister, Key: d.ID, Value: raw(s.t, Registered{Repository: repository, Commit: strings.Repeat("b", 40), Document: d})})
}

func (s *story) excepted(algorithm, digest string, until time.Time) int64 {
	s.t.Helper()
	refs := []tracedb.Ref{{Type: tracedb.RefAlgorithm, Value: algorithm}, {Type: tracedb.RefImage, Value: digest}}
	return s.add(tracedb.KindException, refs, tracedb.Fact{Table: TableException, Key: ExceptionKey(algorithm, RuleStatus, digest),
		Value: raw(s.t, tracedb.Exception{Algorithm: algorithm, Rule: RuleStatus, Image: digest, Until: until, Reason: "flood", GrantedBy: "ciso"})})
}

func open(t testing.TB, l tracedb.Reader) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	c.now = func() time.Time { return noon }
	return c
}

const (
	droneID, retiredID, forbiddenID, oddID, otherID = "alg-drone001", "alg-retired1", "alg-forbid01", "alg-oddstat1", "alg-other001"
)

// world is a log with everything that admission can meet.
func world(t testing.TB) (*story, map[string]int64) {
	s := &story{t: t, log: logtest.New(t)}
	s.built(image(1), "druppie/drone")
	s.built(image(2), "druppie/other")
	s.built(image(3), "druppie/retired")
	s.built(image(4), "druppie/retired")
	s.built(image(5), "druppie/drone")
	s.built(image(5), "druppie/fork")
	s.built(image(6), "druppie/retired")
	s.built(image(7), "druppie/forbidden")
	s.built(image(8), "druppie/odd")
	s.registered("druppie/drone", document(droneID, register.InUse, register.RiskNotHigh))
	s.registered("druppie/retired", document(retiredID, register.OutOfUse, register.RiskNotHigh))
	s.registered("druppie/forbidden", document(forbiddenID, register.OutOfUse, register.RiskForbidden))
	s.registered("druppie/odd", document(oddID, "Ooit", register.RiskNotHigh))
	s.registered("druppie/nothing-built", document(otherID, register.InDevelopment, ""))
	seqs := map[string]int64{"image 3": s.excepted(retiredID, image(3), noon.Add(time.Hour))}
	s.excepted(retiredID, image(4), noon) // over at that very moment
	s.excepted(forbiddenID, "", noon.Add(time.Hour))
	s.excepted(oddID, "", noon.Add(time.Hour))
	return s, seqs
}

func TestDecide(t *testing.T) {
	s, seqs := world(t)
	name := func(n int) string { return "registry.foundry.svc.cluster.local:5000/druppie/x@" + image(n) }
	tests := []struct {
		name   string
		give   Request
		want   string // code
		reason string // part of it
		except int64
	}{
		{name: "built from the owner", give: Request{Algorithm: droneID, Images: []string{name(1)}}, want: CodeAllowed, reason: "built from druppie/drone"},
		{name: "digest alone", give: Request{Algorithm: droneID, Images: []string{image(1)}}, want: CodeAllowed},
		{name: "under another name", give: Request{Algorithm: droneID, Images: []string{"elsewhere/y:v1@" + image(1)}}, want: CodeAllowed},
		{name: "same image twice", give: Request{Algorithm: droneID, Images: []string{name(1), name(1)}}, want: CodeAllowed},
		{name: "same bytes from the owner and, later, a fork", give: Request{Algorithm: droneID, Images: []string{name(5)}}, want: CodeOtherRepository, reason: "built from druppie/fork"}, // until Sync
		{name: "no id", give: Request{Images: []string{name(1)}}, want: CodeNoAlgorithm, reason: "doesn't say which algorithm"},
		{name: "not an id", give: Request{Algorithm: "<script>", Images: []string{name(1)}}, want: CodeBadAlgorithm, reason: `"<script>" isn't`},
		{name: "unknown id", give: Request{Algorithm: "alg-unknown1", Images: []string{name(1)}}, want: CodeUnknownAlgorithm, reason: "has no entry alg-unknown1"},
		{name: "no images", give: Request{Algorithm: droneID}, want: CodeNoImages},
		{name: "a tag", give: Request{Algorithm: droneID, Images: []string{name(1), "druppie/x:latest"}}, want: CodeNoDigest, reason: "druppie/x:latest"},
		{name: "short digest", give: Request{Algorithm: droneID, Images: []string{image(1)[:40]}}, want: CodeNoDigest},
		{name: "digest in capitals", give: Request{Algorithm: droneID, Images: []string{"sha256:" + strings.ToUpper(image(1)[7:])}}, want: CodeNoDigest},
		{name: "digest before the name", give: Request{Algorithm: droneID, Images: []string{image(1) + "@evil"}}, want: CodeNoDigest},
		{name: "empty image", give: Request{Algorithm: droneID, Images: []string{""}}, want: CodeNoDigest},
		{name: "unknown image", give: Request{Algorithm: droneID, Images: []string{name(1), name(99)}}, want: CodeUnknownImage, reason: "no verified provenance"},
		{name: "another's image", give: Request{Algorithm: droneID, Images: []string{name(1), name(2)}}, want: CodeOtherRepository, reason: "built from druppie/other, but " + droneID + " belongs to druppie/drone"},
		{name: "owner that nothing was built from", give: Request{Algorithm: otherID, Images: []string{name(1)}}, want: CodeOtherRepository, reason: "built from druppie/drone"},
		{name: "out of use", give: Request{Algorithm: retiredID, Images: []string{name(6)}}, want: CodeStatus, reason: register.OutOfUse},
		{name: "out of use with an exception", give: Request{Algorithm: retiredID, Images: []string{name(3)}}, want: CodeException, reason: "ciso made an exception until 2026-01-31: flood", except: seqs["image 3"]},
		{name: "exception for one of two images", give: Request{Algorithm: retiredID, Images: []string{name(3), name(6)}}, want: CodeStatus},
		{name: "exception that is over", give: Request{Algorithm: retiredID, Images: []string{name(4)}}, want: CodeStatus},
		{name: "exception for what is prohibited", give: Request{Algorithm: forbiddenID, Images: []string{name(7)}}, want: CodeStatus, reason: register.RiskForbidden},
		{name: "exception for a status nobody knows", give: Request{Algorithm: oddID, Images: []string{name(8)}}, want: CodeStatus, reason: "Ooit"},
	}
	c := open(t, s.log)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := c.Decide(tt.give)
			if got.Code != tt.want || !strings.Contains(got.Reason, tt.reason) || got.Exception != tt.except {
				t.Errorf("Decide() = %+v, want %s: %s", got, tt.want, tt.reason)
			}
			if allowed := tt.want == CodeAllowed || tt.want == CodeException; got.Allowed != allowed {
				t.Errorf("allowed = %t", got.Allowed)
			}
			if got.Reason == "" || got.ReasonNL == "" || got.Reason == got.ReasonNL {
				t.Errorf("reasons %q and %q", got.Reason, got.ReasonNL)
			}
			if !got.Allowed && (got.Remedy == "" || got.RemedyNL == "" || got.Remedy == got.RemedyNL) {
				t.Errorf("remedies %q and %q", got.Remedy, got.RemedyNL)
			}
		})
	}
	t.Run("nobody's image is that of an owner that nothing was built from", func(t *testing.T) {
		for n := 1; n <= 8; n++ {
			if got := c.Decide(Request{Algorithm: otherID, Images: []string{name(n)}}); got.Code != CodeOtherRepository {
				t.Errorf("image %d: %+v", n, got)
			}
		}
	})
	t.Run("after Sync, the fork's image is the owner's too", func(t *testing.T) {
		q := Request{Algorithm: droneID, Images: []string{name(5)}}
		if got := c.Decide(q); !got.NeedsSync() {
			t.Fatalf("Decide() = %+v, want it unsettled", got)
		}
		if err := c.Sync(t.Context(), q.Images...); err != nil {
			t.Fatal(err)
		}
		if got := c.Decide(q); got.Code != CodeAllowed {
			t.Errorf("Decide() = %+v", got)
		}
	})
}

// TestGeneralException lifts the status for whatever the owner built.
// TestDecisionsAreReadable sees that what a decision repeats of a question is text without a secret.
func TestDecisionsAreReadable(t *testing.T) {
	c := &Catalog{}
	for name, q := range map[string]Request{
		"a cut inside a letter": {Algorithm: droneID, Images: []string{"x" + strings.Repeat("é", 2*maxQuoted)}},
		"a password":            {Algorithm: droneID, Images: []string{"https://piet:hond12@registry/x:v1"}},
		"one in the id":         {Algorithm: "https://piet:hond12@registry/x:v1"},
	} {
		d := c.Decide(q)
		for _, text := range []string{d.Reason, d.ReasonNL} {
			if text == "" || strings.Contains(text, `\x`) || strings.Contains(text, "hond12") {
				t.Errorf("%s: %s", name, text)
			}
		}
	}
}

func TestGeneralException(t *testing.T) {
	s, _ := world(t)
	seq := s.excepted(retiredID, "", noon.Add(time.Hour))
	c := open(t, s.log)
	q := Request{Algorithm: retiredID, Images: []string{image(4), image(6)}}
	if got := c.Decide(q); !got.Allowed || got.Exception != seq {
		t.Errorf("Decide() = %+v, want exception %d", got, seq)
	}
	q.Images = append(q.Images, image(1))
	if got := c.Decide(q); got.Code != CodeOtherRepository {
		t.Errorf("with another's image: %+v", got)
	}
	s.excepted(retiredID, "", noon.Add(-time.Second)) // taken back
	if err := c.Sync(t.Context()); err != nil || c.next != s.log.Size() {
		t.Fatalf("Sync() = %v, applied %d of %d", err, c.next, s.log.Size())
	}
	if got := c.Decide(Request{Algorithm: retiredID, Images: []string{image(6)}}); got.Code != CodeStatus {
		t.Errorf("after it was taken back: %+v", got)
	}
}

// TestFollows learns what another program writes, and ends as the one that loads it anew.
func TestFollows(t *testing.T) {
	first := logtest.New(t)
	watcher := open(t, first)
	run, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(run) }()
	tell := &story{t: t, log: first}
	tell.built(image(1), "druppie/drone")
	tell.registered("druppie/drone", document(droneID, register.InDevelopment, ""))
	last := tell.registered("druppie/drone", document(droneID, register.InUse, ""))
	tell.built(image(2), "druppie/drone")
	deadline := time.After(30 * time.Second)
	for q := (Request{Algorithm: droneID, Images: []string{image(1), image(2)}}); !watcher.Decide(q).Allowed; {
		select {
		case <-deadline:
			t.Fatalf("not learned: %+v", watcher.Decide(q))
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if err := <-ended; err != context.Canceled {
		t.Errorf("Run() = %v", err)
	}
	a, ok := watcher.Algorithm(droneID)
	if !ok || a.Seq != last || a.Document.Register.Status != register.InUse || !a.MayRun || a.Repository != "druppie/drone" {
		t.Errorf("Algorithm() = %+v, %t", a, ok)
	}
	if diff := cmp.Diff(open(t, first).Algorithms(), watcher.Algorithms()); diff != "" {
		t.Errorf("loaded anew (-) and followed (+) differ:\n%s", diff)
	}
	versions, err := watcher.Versions(t.Context(), droneID)
	if err != nil || len(versions) != 2 || versions[0].Document.Register.Status != register.InDevelopment || versions[1].Time.IsZero() {
		t.Errorf("Versions() = %+v, %v", versions, err)
	}
	if _, err := watcher.Versions(t.Context(), "alg-unknown1"); tracedb.AsError(err).Code != "not_found" {
		t.Errorf("Versions of an unknown id: %v", err)
	}
	for _, tt := range []struct {
		image, repository string
		want              bool
	}{
		{image(2), "druppie/drone", true}, {"x@" + image(2), "druppie/drone", false}, {image(2), "druppie/nobody", false}, {image(9), "druppie/drone", false},
	} {
		if got := watcher.Built(tt.image, tt.repository); got != tt.want {
			t.Errorf("Built(%s, %s) = %v", tt.image, tt.repository, got)
		}
	}
}

// TestApplyInAnyOrder holds that facts that come late or twice change nothing.
func TestApplyInAnyOrder(t *testing.T) {
	c := open(t, logtest.New(t))
	newer := tracedb.Fact{Table: TableRegister, Key: droneID, Seq: 9, Value: raw(t, Registered{Repository: "druppie/drone", Document: document(droneID, register.OutOfUse, "")})}
	older := tracedb.Fact{Table: TableRegister, Key: droneID, Seq: 8, Value: raw(t, Registered{Repository: "druppie/drone", Document: document(droneID, register.InUse, "")})}
	owner := tracedb.Fact{Table: TableOwner, Key: droneID, Seq: 8, Value: raw(t, Owned{"druppie/drone"})}
	fork := tracedb.Fact{Table: TableImage, Key: image(1), Seq: 5, Value: raw(t, Built{Repository: "druppie/fork"})}
	built := tracedb.Fact{Table: TableImage, Key: image(1), Seq: 4, Value: raw(t, Built{Repository: "druppie/drone"})}
	for _, f := range []tracedb.Fact{newer, owner, fork, built, newer, built, older} {
		c.Apply(f)
	}
	if got := c.Decide(Request{Algorithm: droneID, Images: []string{image(1)}}); got.Code != CodeStatus {
		t.Errorf("Decide() = %+v, want the newest status to hold for an image that the owner built, too", got)
	}
	if !c.Built(image(1), "druppie/drone") || !c.Built(image(1), "druppie/fork") {
		t.Error("who makes the same image later takes it from who made it first")
	}
}

func BenchmarkDecide(b *testing.B) {
	c := open(b, logtest.New(b))
	const images = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range images {
		c.Apply(tracedb.Fact{Table: TableImage, Key: image(i), Seq: int64(i), Value: json.RawMessage(`{"repository":"druppie/drone"}`)})
	}
	c.Apply(tracedb.Fact{Table: TableOwner, Key: droneID, Seq: images, Value: raw(b, Owned{"druppie/drone"})})
	c.Apply(tracedb.Fact{Table: TableRegister, Key: droneID, Seq: images, Value: raw(b, Registered{Repository: "druppie/drone", Document: document(droneID, register.InUse, "")})})
	runtime.GC()
	runtime.ReadMemStats(&after)
	defer func() {
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/images, "B/image")
	}()
	q := Request{Algorithm: droneID, Images: []string{"registry.foundry.svc.cluster.local:5000/druppie/drone@" + image(77), "registry.foundry.svc.cluster.local:5000/druppie/drone@" + image(99_999)}}
	if d := c.Decide(q); !d.Allowed {
		b.Fatal(d.Reason)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Decide(q)
		}
	})
}
