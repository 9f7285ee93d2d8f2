package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/why"
)

// TestService tells one service's story to the real service, as it is wired, over TLS: written, asked
// about, let in, exported, checked offline, backed up, stopped, restored and started again.
func TestService(t *testing.T) {
	h := newFixture(t)
	h.start()
	ctx := t.Context()
	service := apitest.NewService("druppie/dike-service", "alg-d1jk0001", 1)
	question := catalog.Request{Namespace: "drones", Images: []string{service.Name()}, Algorithm: service.Algorithm, Resource: "Pod/dike", UID: "u-1"}

	// Somebody looks on.
	seen := make(chan tracedb.Entry, 1000)
	watch, unwatch := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() {
		watched <- h.client(auditor).Follow(watch, -1, nil, func(e tracedb.Entry) error { seen <- e; return nil })
	}()

	// Before the release nothing of it may run; afterwards it may, at once.
	if d, err := h.client(admits).Admission(ctx, question); err != nil || d.Allowed || d.Reason == "" || d.Remedy == "" {
		t.Errorf("before the release: %+v, %v", d, err)
	}
	drafts, err := apitest.Release(h.signer, service)
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := h.client(writer).Record(ctx, drafts)
	if err != nil {
		t.Fatal(err)
	}
	question.UID = "u-2"
	if d, err := h.client(admits).Admission(ctx, question); err != nil || !d.Allowed {
		t.Errorf("after the release: %+v, %v", d, err)
	}
	again, err := h.client(writer).Record(ctx, drafts)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range again {
		if !r.Duplicate || r.Seq != receipts[i].Seq {
			t.Errorf("record %d was taken again as %d", receipts[i].Seq, r.Seq)
		}
	}

	// Why, with proofs that hold under the key alone.
	chain, err := h.client(auditor).Why(ctx, service.Image, why.Options{Proofs: true})
	if err != nil {
		t.Fatal(err)
	}
	if chain.Repository != service.Repository || chain.Algorithm != service.Algorithm || len(chain.Links) < len(receipts) {
		t.Errorf("the chain is about %s and %s and has %d links", chain.Repository, chain.Algorithm, len(chain.Links))
	}
	h.prove(chain)

	// The archive holds offline; a letter changed in it is found.
	var archive bytes.Buffer
	if err := h.client(auditor).Export(ctx, service.Algorithm, &archive); err != nil {
		t.Fatal(err)
	}
	file := h.write("trace.zip", archive.String())
	if out, _ := h.tool(0, "verify", file, "--key", h.path("checkpoint.pub")); !strings.Contains(out, "that druppie.io/trace/druppie signed") {
		t.Errorf("verify: %s", out)
	}
	other, _ := h.tool(0, "keygen", "--name", "druppie", h.path("other.key"))
	h.tool(1, "verify", file, "--key", strings.TrimSpace(other))
	broken := bytes.Replace(archive.Bytes(), []byte(service.Repository), []byte("druppie/dyke-service"), 1)
	if bytes.Equal(broken, archive.Bytes()) {
		broken = slices.Clone(archive.Bytes())
		broken[len(broken)/2] ^= 1
	}
	if out, errOut := h.tool(1, "verify", h.write("broken.zip", string(broken)), "--key", h.verifier); out+errOut == "" {
		t.Error("verify says nothing about a changed archive")
	}

	// Every read was recorded before it was answered, and so were both decisions.
	h.soon("two decisions in the log", func() bool { return len(h.search(tracedb.KindAdmission)) == 2 })
	decisions := h.search(tracedb.KindAdmission)
	if got := []tracedb.Outcome{decisions[1].Outcome, decisions[0].Outcome}; !slices.Equal(got, []tracedb.Outcome{tracedb.Denied, tracedb.Allowed}) {
		t.Errorf("decisions: %v", got)
	}
	reads := map[string]bool{}
	for _, e := range h.search(tracedb.KindRead) {
		r, err := h.client(auditor).Payload(ctx, e.Seq)
		if err != nil {
			t.Fatal(err)
		}
		var read tracedb.Read
		if err := json.Unmarshal(r.Payload, &read); err != nil {
			t.Fatal(err)
		}
		reads[read.What] = true
	}
	for _, what := range []string{"events", "why", "export", "search"} {
		if !reads[what] {
			t.Errorf("nothing says that somebody read %s", what)
		}
	}

	// A backup while the service runs, and what came after it.
	before, err := h.client("").Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.write("before.txt", string(before))
	h.tool(0, "backup", h.path("backup.db"), "--config", h.config)
	h.tool(2, "backup", h.path("backup.db"), "--config", h.config)
	second := apitest.NewService("druppie/pump-service", "alg-pmp00002", 2)
	h.release(second)
	after, err := h.client("").Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.write("after.txt", string(after))
	if out, _ := h.tool(0, "check", "--config", h.config, "--checkpoint", h.path("before.txt"), "--checkpoint", h.path("after.txt")); !strings.HasSuffix(out, "sound\n") {
		t.Errorf("check: %s", out)
	}

	// The stream had everything, in order.
	last := h.search("")[0].Seq
	var got []int64
	for e := range seen {
		if got = append(got, e.Seq); e.Seq >= last {
			break
		}
	}
	for i, seq := range got {
		if int64(i) != seq {
			t.Fatalf("the stream has %v", got)
		}
	}
	unwatch()
	if err := <-watched; !errors.Is(err, context.Canceled) {
		t.Errorf("watching ended with %v", err)
	}

	if err := h.stop(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	h.tool(0, "rebuild", "--config", h.config)
	h.tool(0, "dispose", "--config", h.config, "--dry-run")
	h.restore(h.config, before, after)
	h.start()
	if d, err := h.client(admits).Admission(ctx, question); err != nil || !d.Allowed {
		t.Errorf("after the restore: %+v, %v", d, err)
	}
	// What the backup didn't have is gone, which only the checkpoint told.
	if _, err := h.client(auditor).Why(ctx, second.Algorithm, why.Options{}); !errors.Is(err, tracedb.ErrNotFound) {
		t.Errorf("why of what the backup lacks: %v", err)
	}
	if err := h.stop(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	for _, secret := range []string{writer, auditor, foreign, admits, "secret-of-the-webhooks"} {
		if strings.Contains(h.out.String(), secret) {
			t.Errorf("the service's output has the secret %s", secret)
		}
	}
}

// prove checks every link's proof with the public key, and nothing that the service says beside it.
func (h *fixture) prove(chain *why.Chain) {
	h.t.Helper()
	verifier, err := note.NewVerifier(h.verifier)
	if err != nil {
		h.t.Fatal(err)
	}
	cp, err := tracedb.ParseCheckpoint([]byte(chain.Checkpoint), verifier)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, link := range chain.Links {
		if link.Proof == nil {
			h.t.Errorf("record %d has no proof", link.Seq)
			continue
		}
		var proof tlog.RecordProof
		for _, text := range link.Proof.Hashes {
			raw, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				h.t.Fatal(err)
			}
			proof = append(proof, tlog.Hash(raw))
		}
		if err := tlog.CheckRecord(proof, cp.Size, cp.Root, link.Seq, link.Entry.Hash()); err != nil {
			h.t.Errorf("record %d: %v", link.Seq, err)
		}
		changed := link.Entry
		changed.Actor = "somebody else"
		if tlog.CheckRecord(proof, cp.Size, cp.Root, link.Seq, changed.Hash()) == nil {
			h.t.Errorf("record %d: the proof holds for another actor too", link.Seq)
		}
	}
}

// search lists records of a kind, newest first.
func (h *fixture) search(kind tracedb.Kind) []tracedb.Entry {
	h.t.Helper()
	q := tracedb.Query{Limit: tracedb.MaxPage}
	if kind != "" {
		q.Kinds = []tracedb.Kind{kind}
	}
	page, err := h.client(auditor).Search(h.t.Context(), q)
	if err != nil {
		h.t.Fatal(err)
	}
	return page.Entries
}

// restore loses the database and puts the backup in its place, which the newest checkpoint shows to be
// older than it.
func (h *fixture) restore(config string, before, after []byte) {
	h.t.Helper()
	backup := h.path("backup.db")
	if _, errOut := h.tool(1, "restore", backup, "--config", config, "--checkpoint", h.path("before.txt")); !strings.Contains(errOut, "is there already") {
		h.t.Errorf("restore over a database: %s", errOut)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(h.path("trace.db" + suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			h.t.Fatal(err)
		}
	}
	if _, errOut := h.tool(1, "restore", backup, "--config", config, "--checkpoint", h.path("after.txt")); !strings.Contains(errOut, "records were taken from its end") {
		h.t.Errorf("restore of a backup that lacks records: %s", errOut)
	}
	if _, err := os.Stat(h.path("trace.db")); err == nil {
		h.t.Fatal("a backup that lacks records was put in place")
	}
	if out, _ := h.tool(0, "restore", backup, "--config", config, "--checkpoint", h.path("before.txt")); !strings.HasSuffix(out, "sound\n") {
		h.t.Errorf("restore: %s", out)
	}
}

// TestRefused offers what must not be taken, and holds what each is told.
func TestRefused(t *testing.T) {
	h := newFixture(t)
	h.start()
	service := apitest.NewService("druppie/dike-service", "alg-d1jk0001", 1)
	h.release(service)
	drafts := func(change func([]tracedb.Draft) []tracedb.Draft) []tracedb.Draft {
		list, err := apitest.Release(h.signer, apitest.NewService("druppie/pump-service", "alg-pmp00002", 3))
		if err != nil {
			t.Fatal(err)
		}
		return change(list)
	}
	thief, err := apitest.NewKey(h.path("thief.pub"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		token string
		give  []tracedb.Draft
		want  *tracedb.Error
		field string
	}{
		{"wrong audience", foreign, drafts(func(d []tracedb.Draft) []tracedb.Draft { return d }), tracedb.ErrUnauthenticated, "Authorization"},
		{"made-up token", "eyJhbGciOiJub25lIn0.e30.", drafts(func(d []tracedb.Draft) []tracedb.Draft { return d }), tracedb.ErrUnauthenticated, "Authorization"},
		{"admission's token", admits, drafts(func(d []tracedb.Draft) []tracedb.Draft { return d }), tracedb.ErrForbidden, ""},
		{"forged", writer, drafts(func([]tracedb.Draft) []tracedb.Draft {
			list, err := apitest.Release(thief, apitest.NewService("druppie/pump-service", "", 4))
			if err != nil {
				t.Fatal(err)
			}
			return list
		}), tracedb.ErrInvalidSignature, "records[0].payload"},
		{"a letter of the statement changed", writer, drafts(func(d []tracedb.Draft) []tracedb.Draft {
			var e map[string]any
			if err := json.Unmarshal(d[0].Payload, &e); err != nil {
				t.Fatal(err)
			}
			raw, err := base64.StdEncoding.DecodeString(e["payload"].(string))
			if err != nil {
				t.Fatal(err)
			}
			e["payload"] = base64.StdEncoding.EncodeToString(bytes.Replace(raw, []byte("PASSED"), []byte("PASSEE"), 1))
			if d[0].Payload, err = json.Marshal(e); err != nil {
				t.Fatal(err)
			}
			return d
		}), tracedb.ErrInvalidSignature, "records[0].payload"},
		{"replayed under another id", writer, func() []tracedb.Draft {
			list, err := apitest.Release(h.signer, service)
			if err != nil {
				t.Fatal(err)
			}
			// ECDSA signatures differ each time, so what was taken is asked back.
			list[0].Payload = h.payload(tracedb.KindTestResult)
			list[0].ID = "another-id"
			return list[:1]
		}(), tracedb.ErrReplayed, "records[0]"},
		{"an attestation of another kind", writer, drafts(func(d []tracedb.Draft) []tracedb.Draft { d[0].Kind = tracedb.KindVerdict; return d }), tracedb.ErrInvalidRecord, "records[0].payload"},
		{"a thief's entry in the register", writer, drafts(func(d []tracedb.Draft) []tracedb.Draft {
			return []tracedb.Draft{{ID: "x", Kind: tracedb.KindRegister, Payload: bytes.ReplaceAll(d[len(d)-1].Payload, []byte("alg-pmp00002"), []byte(service.Algorithm))}}
		}), tracedb.ErrBound, "records[0]"},
		{"markup for a repository", writer, []tracedb.Draft{{ID: "x", Kind: tracedb.KindImage, Payload: []byte(`{"image":"r/x","digest":"` + service.Image + `","repository":"<script>alert(1)</script>","commit":"` + service.Commit + `"}`)}}, tracedb.ErrInvalidRecord, "records[0].payload.repository"},
		{"SQL for a commit", writer, []tracedb.Draft{{ID: "x", Kind: tracedb.KindImage, Payload: []byte(`{"image":"r/x","digest":"` + service.Image + `","repository":"a/b","commit":"'; DROP TABLE records; --"}`)}}, tracedb.ErrInvalidRecord, "records[0].payload.commit"},
		{"a line's end in an id", writer, []tracedb.Draft{{ID: "x\nSet-Cookie: y", Kind: tracedb.KindImage, Payload: h.payload(tracedb.KindImage)}}, tracedb.ErrInvalidRecord, "records[0].id"},
		{"a payload that is too large", writer, []tracedb.Draft{{ID: "x", Kind: tracedb.KindImage, Payload: []byte(`{"image":"` + strings.Repeat("x", tracedb.MaxPayload) + `"}`)}}, tracedb.ErrTooLarge, "records[0].payload"},
		{"a body that is too large", writer, []tracedb.Draft{{ID: "x", Kind: tracedb.KindImage, Payload: []byte(`{"image":"` + strings.Repeat("x", 17<<20) + `"}`)}}, tracedb.ErrTooLarge, ""},
	}
	size := h.server.log.Size()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := h.client(tt.token).Record(t.Context(), tt.give)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want.Code)
			}
			if got := tracedb.AsError(err).Field; !strings.HasPrefix(got, tt.field) || tt.field == "" && got != "" {
				t.Errorf("at %q, want %q: %v", got, tt.field, err)
			}
		})
	}
	// Nothing of it was taken; what matters about it was written down.
	h.soon("refusals in the log", func() bool { return len(h.search(tracedb.KindRefusal)) >= 4 })
	for _, e := range h.search("") {
		if e.Seq >= size && e.Kind != tracedb.KindRefusal && e.Kind != tracedb.KindRead {
			t.Errorf("record %d of kind %s was taken", e.Seq, e.Kind)
		}
	}

	for _, subject := range []string{"';DROP TABLE records;--", "<img src=x onerror=alert(1)>", "..%2f..%2fetc", "repository:../../x", "sha256:zz", strings.Repeat("a", 3000), "\u202eevil"} {
		_, err := h.client(auditor).Why(t.Context(), subject, why.Options{})
		if !errors.Is(err, tracedb.ErrInvalid) && !errors.Is(err, tracedb.ErrNotFound) {
			t.Errorf("why of %q: %v", subject, err)
		}
		if strings.ContainsAny(err.Error(), "<>") {
			t.Errorf("the answer repeats %q: %v", subject, err)
		}
	}
}

// payload is that of the newest record of a kind.
func (h *fixture) payload(kind tracedb.Kind) json.RawMessage {
	h.t.Helper()
	r, err := h.client(auditor).Payload(h.t.Context(), h.search(kind)[0].Seq)
	if err != nil {
		h.t.Fatal(err)
	}
	return r.Payload
}

// TestHealth asks the plain port, and holds what is off.
func TestHealth(t *testing.T) {
	h := newFixture(t)
	h.start()
	base := "http://" + h.server.healthListener.Addr().String()
	status, body := h.get(base+"/readyz", "")
	var got struct {
		Ready bool   `json:"ready"`
		Parts []part `json:"parts"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 || !got.Ready {
		t.Fatalf("%d %s", status, body)
	}
	off := map[string]string{}
	for _, p := range got.Parts {
		if !p.On {
			off[p.Name] = p.Detail
		}
	}
	want := map[string]string{
		"login": "the configuration lacks one of gitea.url, gitea.publicURL and oauth.redirectURL",
		"gitea": "the configuration has no gitea.url", "checkpoints": "the configuration has no gitea.checkpointRepository",
		"flux": "the configuration has no flux.namespace", "tekton": "the configuration has no tekton.namespace",
	}
	if diff := cmp.Diff(want, off); diff != "" {
		t.Errorf("off (-want +got):\n%s", diff)
	}
	if status, body := h.get(base+"/healthz", ""); status != 200 || body == "" {
		t.Errorf("healthz: %d", status)
	}
	h.get("https://trace.test/v1/register", "")
	if _, body := h.get(base+"/metrics", ""); !strings.Contains(body, `tracedb_http_requests_total{method="GET",route="/v1/register",status="200"} 1`) || !strings.Contains(body, "tracedb_log_size ") {
		t.Errorf("metrics lack what was asked: %.500s", body)
	}
	if status, body := h.get("https://trace.test/", ""); status != 200 || !strings.Contains(body, "<!doctype html>") {
		t.Errorf("the pages: %d %.200s", status, body)
	}
}

// TestCertificateChanges renews the certificate under the running service.
func TestCertificateChanges(t *testing.T) {
	h := newFixture(t)
	h.start()
	ask := func(name string) error {
		resp, err := h.http(name).Get("https://" + name + "/v1/register")
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := ask("trace.test"); err != nil {
		t.Fatal(err)
	}
	if ask("renewed.test") == nil {
		t.Fatal("the certificate is good for any name")
	}
	h.certificate("renewed.test")
	h.soon("the renewed certificate", func() bool { return ask("renewed.test") == nil })
	// One that can't be read leaves the last one in use.
	h.write("tls.crt", "broken")
	time.Sleep(2 * reloadInterval)
	if err := ask("renewed.test"); err != nil {
		t.Errorf("with a broken file: %v", err)
	}
	if !strings.Contains(h.out.String(), "the old one stays in use") {
		t.Error("nobody was told that the new certificate can't be read")
	}
}

// TestDrain stops the service while a request is on its way: it is answered.
func TestDrain(t *testing.T) {
	h := newFixture(t)
	h.start()
	drafts, err := apitest.Release(h.signer, apitest.NewService("druppie/dike-service", "", 5))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"records": drafts})
	if err != nil {
		t.Fatal(err)
	}
	slow := &slowly{raw: raw, begun: make(chan struct{}), goOn: make(chan struct{})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://trace.test/v1/records", slow)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+writer)
	req.Header.Set("Content-Type", "application/json")
	req.ContentLength = int64(len(raw))
	answered := make(chan int, 1)
	hc := h.http("trace.test")
	go func() {
		resp, err := hc.Do(req)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-slow.begun
	h.soon("the request to be under way", func() bool {
		_, body := h.get("http://"+h.server.healthListener.Addr().String()+"/metrics", "")
		return strings.Contains(body, "tracedb_http_under_way 1")
	})
	stopped := make(chan error, 1)
	go func() { stopped <- h.stop() }()
	h.soon("no longer ready", func() bool { return !h.server.health.ready.Load() })
	close(slow.goOn)
	if status := <-answered; status != http.StatusCreated {
		t.Errorf("a request that had begun was answered with %d", status)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := client.New(client.Options{URL: "https://trace.test", HTTP: hc, Patience: -1}).Register(t.Context()); err == nil {
		t.Error("a stopped service answers")
	}
}

// slowly is a body whose second half comes when it is told to.
type slowly struct {
	raw         []byte
	at          int
	begun, goOn chan struct{}
}

func (s *slowly) Read(b []byte) (int, error) {
	half := len(s.raw) / 2
	if s.at == half {
		close(s.begun)
		<-s.goOn
	}
	limit := half
	if s.at >= half {
		limit = len(s.raw)
	}
	if s.at == len(s.raw) {
		return 0, io.EOF
	}
	n := copy(b, s.raw[s.at:limit])
	s.at += n
	return n, nil
}
