package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
)

const password = "correct horse"

// fixture is a folder with all that the steps after build mount, and a registry with an image.
type fixture struct {
	dir, caFile, image string
	git                foundrytest.Git // what is built is the second of its three commits
}

func (b fixture) commit() string { return b.git.Commits[1] }

func newFixture(t *testing.T, trace http.Handler) (b fixture, traceURL string) {
	t.Helper()
	host, ca := foundrytest.Registry(t)
	traceHost, traceCA := foundrytest.TLS(t, trace)
	b.git = foundrytest.NewGit(t, "druppie/drone-service", map[string]string{"algorithm.yaml": "v1"}, map[string]string{"algorithm.yaml": "v2"}, map[string]string{"algorithm.yaml": "v3"})
	b.dir = t.TempDir()
	b.caFile = write(t, b.dir, "ca.crt", string(ca)+"\n"+string(traceCA)+"\n"+string(b.git.CA))
	write(t, b.dir, "credentials/username", foundrytest.Writer.Username)
	write(t, b.dir, "credentials/password", foundrytest.Writer.Password)
	write(t, b.dir, "token", "a-token\n")
	write(t, b.dir, "source/algorithm.yaml", "schema: druppie.io/algorithm/v1\nid: alg-d1jk3vl8\n")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	encryptedKey, err := encrypted.Encrypt(der, []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	write(t, b.dir, "cosign.key", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: encryptedKey})))
	write(t, b.dir, "cosign.password", password)
	write(t, b.dir, "cosign.pub", string(public))
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("x/y:z")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(filepath.Join(b.dir, "image.tar"), tag, img); err != nil {
		t.Fatal(err)
	}
	out, err := run("push", "--tar", b.file("image.tar"), "--repository", host+"/druppie/drone-service", "--credentials", b.file("credentials"), "--ca-file", b.caFile)
	if err != nil {
		t.Fatal(err)
	}
	b.image = strings.TrimSpace(out)
	return b, "https://" + traceHost
}

func (b fixture) file(name string) string { return filepath.Join(b.dir, name) }

func (b fixture) sign(t *testing.T) {
	t.Helper()
	if _, err := run("sign", "--image", b.image, "--claim=druppie.io/commit="+b.commit(), "--claim=druppie.io/repository=druppie/drone-service",
		"--key", b.file("cosign.key"), "--password-file", b.file("cosign.password"), "--credentials", b.file("credentials"), "--ca-file", b.caFile); err != nil {
		t.Fatal(err)
	}
}

func (b fixture) attest(change ...string) (string, error) {
	return run(append([]string{"attest", "--image", b.image, "--repository=druppie/drone-service", "--revision=" + b.commit(),
		"--run=foundry/drone-service-x", "--tests=12", "--algorithm=alg-d1jk3vl8",
		"--key", b.file("cosign.key"), "--password-file", b.file("cosign.password"), "--credentials", b.file("credentials"), "--ca-file", b.caFile}, change...)...)
}

func (b fixture) record(traceURL string, change ...string) (string, error) {
	return run(append([]string{"record", "--trace", traceURL, "--token-file", b.file("token"), "--source", b.file("source"), "--forge", b.git.Address,
		"--repository=druppie/drone-service", "--revision=" + b.commit(), "--image", b.image, "--run=foundry/drone-service-x",
		"--key", b.file("cosign.pub"), "--ca-file", b.caFile}, change...)...)
}

// traceStub takes whatever comes and remembers it, in the form that the service takes records.
type traceStub struct {
	t          *testing.T
	drafts     []tracedb.Draft
	refuse     *tracedb.Error
	registered string // commit of the register's entry; empty: there is none
}

func (d *traceStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/v1/register/alg-d1jk3vl8" {
		d.entry(w)
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/records" || r.Header.Get("Authorization") != "Bearer a-token" {
		d.t.Errorf("%s %s with %q", r.Method, r.URL.Path, r.Header.Get("Authorization"))
	}
	w.Header().Set("Content-Type", "application/json")
	if d.refuse != nil {
		w.WriteHeader(d.refuse.Status)
		json.NewEncoder(w).Encode(map[string]any{"error": d.refuse})
		return
	}
	var body struct {
		Records []tracedb.Draft `json:"records"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		d.t.Error(err)
	}
	var receipts []tracedb.Receipt
	for i, draft := range body.Records {
		d.drafts = append(d.drafts, draft)
		receipts = append(receipts, tracedb.Receipt{Seq: int64(i)})
	}
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{"receipts": receipts})
}

func (d *traceStub) entry(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if d.registered == "" {
		w.WriteHeader(tracedb.ErrNotFound.Status)
		json.NewEncoder(w).Encode(map[string]any{"error": tracedb.ErrNotFound})
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"id": "alg-d1jk3vl8", "commit": d.registered})
}

func TestAttestAndRecord(t *testing.T) {
	records := &traceStub{t: t}
	b, trace := newFixture(t, records)

	if _, err := b.record(trace); err == nil || !strings.Contains(err.Error(), "no valid signature") {
		t.Errorf("recorded an image that nobody signed: %v", err)
	}
	b.sign(t)
	if _, err := b.record(trace); err == nil || !strings.Contains(err.Error(), "attested no provenance") {
		t.Errorf("recorded an image that nobody attested: %v", err)
	}
	if len(records.drafts) != 0 {
		t.Fatalf("recorded %d drafts before there was anything to record", len(records.drafts))
	}
	out, err := b.attest()
	if err != nil || strings.Count(out, "attested:") != 3 {
		t.Fatalf("%q, %v", out, err)
	}
	if out, err := b.attest(); err != nil || !strings.Contains(out, "was attested already by this run") {
		t.Errorf("a second time: %q, %v", out, err)
	}
	if _, err := b.record(trace); err != nil {
		t.Fatal(err)
	}
	digest := b.image[strings.Index(b.image, "@")+1:]
	var ids []string
	for _, d := range records.drafts {
		ids = append(ids, d.ID)
	}
	run := digest + "/foundry/drone-service-x"
	want := []string{"provenance/" + run, "test-result/" + run, "verdict/" + run, "image/" + run, "signature/" + run, "register/druppie/drone-service@" + b.commit()}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
	// The trace will hold them against this very key.
	ring, err := attest.LoadKeyring([]attest.KeyFile{{Name: "foundry", File: b.file("cosign.pub"), Kinds: []tracedb.Kind{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range records.drafts[:3] {
		v, err := ring.Verify(d.Kind, d.Payload, time.Now())
		if err != nil || fmt.Sprint("sha256:", v.Statement.Subject[0].Digest["sha256"]) != digest {
			t.Errorf("%s: %+v, %v", d.Kind, v, err)
		}
	}
	for _, tt := range []struct {
		name, registered string
		want             bool // the register's entry is among what is recorded
	}{
		{"the register has an older version", b.git.Commits[0], true},
		{"it has this one", b.commit(), true},
		{"it has a newer one: a run that took longer brings nothing back", b.git.Commits[2], false},
		{"it has one that isn't in this history", strings.Repeat("0", 40), true},
	} {
		records.drafts, records.registered = nil, tt.registered
		out, err := b.record(trace)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got := slices.ContainsFunc(records.drafts, func(d tracedb.Draft) bool { return d.Kind == tracedb.KindRegister })
		if got != tt.want || strings.Contains(out, "the register keeps its entry") == tt.want || len(records.drafts) < 5 {
			t.Errorf("%s: registered %v of %d records, and said:\n%s", tt.name, got, len(records.drafts), out)
		}
	}
	t.Run("what the trace refuses stops the pipeline", func(t *testing.T) {
		records.refuse = tracedb.ErrBound
		_, err := b.record(trace)
		if err == nil || !strings.Contains(err.Error(), "belong together") || !strings.Contains(ui.Hint(err), "nothing is promoted") {
			t.Errorf("%v, hint %q", err, ui.Hint(err))
		}
	})
}

func TestAttestRefusesWhatCodeOfTheServiceMightSay(t *testing.T) {
	b, _ := newFixture(t, http.NotFoundHandler())
	for _, change := range []string{"--tests=0", "--tests=-3", "--tests=12; rm -rf /", "--tests=99999999999", "--algorithm=alg-X", "--algorithm=alg-00000000 ", "--revision=main"} {
		if _, err := b.attest(change); err == nil || ui.ExitCode(err) != 2 {
			t.Errorf("%s: %v, exit code %d", change, err, ui.ExitCode(err))
		}
	}
}
