package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/druppie/druppie-up/tracedb"
)

var (
	digest = "sha256:" + strings.Repeat("1f", 32)
	commit = strings.Repeat("2e", 20)
	about  = About{Image: "registry.foundry.svc.cluster.local:5000/druppie/drone", Digest: digest, Repository: "druppie/drone", Commit: commit, Run: "foundry/release-x7k2p"}
	noon   = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
)

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// publicPEM writes a public key as Cosign does.
func publicPEM(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func keyFile(t testing.TB, name string, pub crypto.PublicKey, kinds ...tracedb.Kind) KeyFile {
	t.Helper()
	file := filepath.Join(t.TempDir(), name+".pub")
	if err := os.WriteFile(file, publicPEM(t, pub), 0o600); err != nil {
		t.Fatal(err)
	}
	return KeyFile{Name: name, File: file, Kinds: kinds}
}

func ring(t testing.TB, files ...KeyFile) *Keyring {
	t.Helper()
	k, err := LoadKeyring(files)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// statements is one good statement of every kind of attestation.
func statements() map[tracedb.Kind]Statement {
	return map[tracedb.Kind]Statement{
		tracedb.KindProvenance: Provenance(about, Build{Builder: "https://druppie.io/foundry", Source: "https://gitea.gitea.svc.cluster.local:3000/druppie/drone.git", Started: noon, Finished: noon.Add(time.Minute), Images: map[string]string{"python:3.12": digest}}),
		tracedb.KindTestResult: TestResult(about, Tests{Suite: "python -m unittest", Passed: []string{"test_fly", "test_land"}}),
		tracedb.KindVulns: Vulns(about, Scan{Scanner: "pkg:golang/github.com/aquasecurity/trivy@v0.65.0", Version: "0.65.0", DBVersion: "2", DBUpdated: noon.Add(-24 * time.Hour), Started: noon, Finished: noon.Add(time.Second), Result: "PASSED",
			Found: []Vulnerability{{ID: "CVE-2026-0001", Severity: "CRITICAL", Package: "openssl@3.0.1", Fixed: "3.0.2"}, {ID: "CVE-2026-0002", Severity: "LOW"}}}),
		tracedb.KindSARIF:       SARIF(about, Analysis{Tool: "ruff", Version: "0.9", Result: "PASSED", Results: []Finding{{Rule: "F401", Level: "warning", Message: "unused import", File: "app.py", Line: 3}}}),
		tracedb.KindSBOM:        SBOM(about, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"openssl","version":"3.0.1"}]}`)),
		tracedb.KindConformance: ConformanceReport(about, json.RawMessage(`{"schema":"druppie.io/conformance/v1","kind":"check","ended":"2026-01-31T12:00:00Z","controls":[{"id":"C1","verdict":"holds"},{"id":"C2","verdict":"not there"}],"mutations":[]}`)),
		tracedb.KindVerdict:     Verdict(about, Gate{Verifier: "https://druppie.io/foundry/gate", Created: noon, Passed: []string{"FOUNDRY_TESTS"}, Failed: []string{"FOUNDRY_SCAN"}}),
	}
}

// TestRoundTrip builds, signs, verifies and reads every kind, with both sorts of key.
func TestRoundTrip(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	refs := func(types ...tracedb.RefType) []tracedb.Ref {
		values := map[tracedb.RefType]string{tracedb.RefImage: digest, tracedb.RefCommit: commit, tracedb.RefRepository: "druppie/drone", tracedb.RefRun: "foundry/release-x7k2p"}
		var out []tracedb.Ref
		for _, typ := range types {
			out = append(out, tracedb.Ref{Type: typ, Value: values[typ]})
		}
		return out
	}
	all := refs(tracedb.RefCommit, tracedb.RefImage, tracedb.RefRepository, tracedb.RefRun)
	want := map[tracedb.Kind]Reading{
		tracedb.KindProvenance:  {Refs: all, Summary: "built from druppie/drone at 2e2e2e2e2e2e by https://druppie.io/foundry", SummaryNL: "gebouwd uit druppie/drone op 2e2e2e2e2e2e door https://druppie.io/foundry"},
		tracedb.KindTestResult:  {Refs: all, Outcome: tracedb.Passed, Summary: "2 tests passed, 0 with warnings, 0 failed", SummaryNL: "2 tests geslaagd, 0 met waarschuwingen, 0 gefaald"},
		tracedb.KindVulns:       {Refs: all, Outcome: tracedb.Passed, Summary: "known vulnerabilities: 1 critical, 1 low; database of 2026-01-30", SummaryNL: "bekende kwetsbaarheden: 1 kritiek, 1 laag; database van 2026-01-30"},
		tracedb.KindSARIF:       {Refs: all, Outcome: tracedb.Passed, Summary: "ruff 0.9: 1 warnings", SummaryNL: "ruff 0.9: 1 waarschuwingen"},
		tracedb.KindSBOM:        {Refs: all, Summary: "CycloneDX 1.6 with 1 components", SummaryNL: "CycloneDX 1.6 met 1 onderdelen"},
		tracedb.KindConformance: {Refs: all, Outcome: tracedb.Passed, Summary: "1 controls hold", SummaryNL: "1 beheersmaatregelen werken"},
		tracedb.KindVerdict:     {Refs: all, Outcome: tracedb.Failed, Summary: "verified: FOUNDRY_TESTS; failed: FOUNDRY_SCAN", SummaryNL: "bevestigd: FOUNDRY_TESTS; niet voldaan: FOUNDRY_SCAN"},
	}
	for _, signer := range []crypto.Signer{newKey(t), edKey} {
		keys := ring(t, keyFile(t, "foundry", signer.Public(), "*"))
		for kind, st := range statements() {
			t.Run(string(kind), func(t *testing.T) {
				envelope, err := Sign(signer, st)
				if err != nil {
					t.Fatal(err)
				}
				verified, err := keys.Verify(kind, envelope, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				got, key := verified.Statement, verified.Key
				if key.Name != "foundry" || key.Fingerprint != Fingerprint(signer.Public()) {
					t.Errorf("key = %+v", key)
				}
				unsigned, err := Decode(kind, envelope)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(got, unsigned); diff != "" {
					t.Errorf("Decode and Verify differ:\n%s", diff)
				}
				r, err := Read(kind, got)
				if err != nil {
					t.Fatal(err)
				}
				if r.Detail == nil {
					t.Error("no detail")
				}
				r.Detail = nil
				w := want[kind]
				w.Images, w.Repository, w.Commit, w.Run = []string{digest}, "druppie/drone", commit, "foundry/release-x7k2p"
				if diff := cmp.Diff(w, r); diff != "" {
					t.Errorf("Read (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestFailedBeforeImage keeps evidence of a gate that failed when there was no image yet.
func TestFailedBeforeImage(t *testing.T) {
	key := newKey(t)
	a := About{Repository: "druppie/drone", Commit: commit, Run: "foundry/release-x7k2p"}
	envelope, err := Sign(key, TestResult(a, Tests{Suite: "unittest", Failed: []string{"test_fly"}}))
	if err != nil {
		t.Fatal(err)
	}
	v, err := ring(t, keyFile(t, "foundry", key.Public(), "*")).Verify(tracedb.KindTestResult, envelope, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(tracedb.KindTestResult, v.Statement)
	if err != nil {
		t.Fatal(err)
	}
	if r.Outcome != tracedb.Failed || len(r.Images) != 0 || r.Commit != commit || r.Repository != "druppie/drone" {
		t.Errorf("Read() = %+v", r)
	}
	if _, err := Sign(key, SBOM(a, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6"}`))); err == nil {
		t.Error("an SBOM of no image was signed")
	}
}

// seal signs any body under any type, as a careless or hostile signer would.
func seal(t testing.TB, key *ecdsa.PrivateKey, payloadType string, body []byte) map[string]any {
	t.Helper()
	sum := sha256.Sum256(dsse.PAE(payloadType, body))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"payloadType": payloadType,
		"payload":     base64.StdEncoding.EncodeToString(body),
		"signatures":  []any{map[string]any{"keyid": "", "sig": base64.StdEncoding.EncodeToString(sig)}},
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVerifyRefuses(t *testing.T) {
	key, other, limited, old := newKey(t), newKey(t), newKey(t), newKey(t)
	retired := keyFile(t, "old", old.Public(), "*")
	retired.Retired = noon
	keys := ring(t, keyFile(t, "foundry", key.Public(), "*"), keyFile(t, "sbom-only", limited.Public(), tracedb.KindSBOM), retired)
	body := marshal(t, statements()[tracedb.KindTestResult])
	good := func() map[string]any { return seal(t, key, PayloadType, body) }
	with := func(change func(map[string]any)) []byte {
		e := good()
		change(e)
		return marshal(t, e)
	}
	resealed := func(old, new string) []byte {
		if !strings.Contains(string(body), old) {
			t.Fatalf("%s isn't in %s", old, body)
		}
		return marshal(t, seal(t, key, PayloadType, []byte(strings.Replace(string(body), old, new, 1))))
	}
	sig := func(e map[string]any) map[string]any { return e["signatures"].([]any)[0].(map[string]any) }

	if _, err := keys.Verify(tracedb.KindTestResult, marshal(t, good()), noon); err != nil {
		t.Fatalf("the envelope that all others are made of: %v", err)
	}
	tests := []struct {
		name     string
		envelope []byte
		kind     tracedb.Kind // test-result if empty
		code     string
		field    string
		message  string // part of it
	}{
		{name: "wrong key", envelope: marshal(t, seal(t, other, PayloadType, body)), code: "invalid_signature", field: "signatures[0]", message: "no key of the keyring"},
		{name: "wrong key under a good key's hint", envelope: func() []byte {
			e := seal(t, other, PayloadType, body)
			sig(e)["keyid"] = Fingerprint(key.Public())
			return marshal(t, e)
		}(), code: "invalid_signature", field: "signatures[0]"},
		{name: "altered payload", envelope: with(func(e map[string]any) {
			e["payload"] = base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(body), "PASSED", "WARNED", 1)))
		}), code: "invalid_signature", field: "signatures[0]"},
		{name: "altered signature", envelope: with(func(e map[string]any) {
			// Of the bytes: an altered letter isn't always one of base64's.
			b, err := base64.StdEncoding.DecodeString(sig(e)["sig"].(string))
			if err != nil {
				t.Fatal(err)
			}
			b[20] ^= 1
			sig(e)["sig"] = base64.StdEncoding.EncodeToString(b)
		}), code: "invalid_signature", field: "signatures[0]"},
		{name: "signature stripped", envelope: with(func(e map[string]any) { e["signatures"] = []any{} }), code: "invalid_signature", field: "signatures", message: "isn't signed"},
		{name: "no signatures at all", envelope: with(func(e map[string]any) { delete(e, "signatures") }), code: "invalid_signature", field: "signatures"},
		{name: "empty signature", envelope: with(func(e map[string]any) { sig(e)["sig"] = "" }), code: "invalid_signature", field: "signatures[0].sig"},
		{name: "two signatures", envelope: with(func(e map[string]any) { e["signatures"] = []any{sig(e), sig(e)} }), code: "invalid_record", field: "signatures", message: "one signature"},
		{name: "other payload type, signed so", envelope: marshal(t, seal(t, key, "application/json", body)), code: "invalid_record", field: "payloadType"},
		{name: "other payload type, swapped", envelope: func() []byte {
			e := seal(t, key, "application/json", body)
			e["payloadType"] = PayloadType
			return marshal(t, e)
		}(), code: "invalid_signature", field: "signatures[0]"},
		{name: "payload type in another case", envelope: with(func(e map[string]any) { e["payloadType"] = "application/vnd.In-toto+json" }), code: "invalid_record", field: "payloadType"},
		{name: "key that may not sign the kind", envelope: marshal(t, seal(t, limited, PayloadType, body)), code: "invalid_signature", field: "signatures[0]", message: "may not sign"},
		{name: "retired key", envelope: marshal(t, seal(t, old, PayloadType, body)), code: "invalid_signature", field: "signatures[0]", message: "retired"},
		{name: "unsigned field beside", envelope: with(func(e map[string]any) { e["note"] = "x" }), code: "invalid_record", field: "note", message: "no such field"},
		{name: "unsigned field in the signature", envelope: with(func(e map[string]any) { sig(e)["cert"] = "x" }), code: "invalid_record", field: "signatures[0].cert"},
		{name: "hint with text in it", envelope: with(func(e map[string]any) { sig(e)["keyid"] = "a b" }), code: "invalid_record", field: "signatures[0].keyid"},
		{name: "payload twice", envelope: []byte(strings.Replace(string(marshal(t, good())), `{`, `{"payload":"e30=",`, 1)), code: "invalid_record", field: "payload", message: "comes twice"},
		{name: "payload in another case", envelope: []byte(strings.Replace(string(marshal(t, good())), `{`, `{"Payload":"e30=",`, 1)), code: "invalid_record", field: "payload", message: "comes twice"},
		{name: "trailing data", envelope: append(marshal(t, good()), "{}"...), code: "invalid_record", message: "something follows"},
		{name: "line break in base64", envelope: with(func(e map[string]any) { e["payload"] = e["payload"].(string)[:8] + "\n" + e["payload"].(string)[8:] }), code: "invalid_record", field: "payload"},
		{name: "URL base64", envelope: with(func(e map[string]any) { e["payload"] = base64.URLEncoding.EncodeToString([]byte("{\"a\":\"???>>>\"}")) }), code: "invalid_record", field: "payload"},
		{name: "empty payload", envelope: with(func(e map[string]any) { e["payload"] = "" }), code: "invalid_record", field: "payload"},
		{name: "oversized", envelope: with(func(e map[string]any) { e["payload"] = strings.Repeat("A", tracedb.MaxPayload) }), code: "too_large"},
		{name: "not JSON", envelope: []byte("<xml/>"), code: "invalid_record"},
		{name: "a list", envelope: []byte("[]"), code: "invalid_record"},
		{name: "nothing", envelope: nil, code: "invalid_record"},

		{name: "another kind's predicate", envelope: marshal(t, good()), kind: tracedb.KindVulns, code: "invalid_record", field: "payload.predicateType"},
		{name: "a kind without attestations", envelope: marshal(t, good()), kind: tracedb.KindCommit, code: "invalid_record", field: "payload"},
		{name: "statement v0.1", envelope: resealed(StatementType, "https://in-toto.io/Statement/v0.1"), code: "invalid_record", field: "payload._type"},
		{name: "no subject", envelope: resealed(`"subject"`, `"subjects"`), code: "invalid_record", field: "payload.subject", message: "at least one"},
		{name: "no digest", envelope: resealed(`{"sha256":"`+digest[7:]+`"}`, `{}`), code: "invalid_record", field: "payload.subject[0].digest"},
		{name: "digest in capitals", envelope: resealed(digest[7:], strings.ToUpper(digest[7:])), code: "invalid_record", field: "payload.subject[0].digest"},
		{name: "short digest", envelope: resealed(digest[7:], digest[7:60]), code: "invalid_record", field: "payload.subject[0].digest"},
		{name: "only a sha512", envelope: marshal(t, seal(t, key, PayloadType, []byte(`{"_type":"`+StatementType+`","predicateType":"https://in-toto.io/attestation/test-result/v0.1","subject":[{"digest":{"sha512":"ab"}}],"predicate":{}}`))), code: "invalid_record", field: "payload.subject", message: "sha256"},
		{name: "no predicate", envelope: resealed(`"predicate":{`, `"pred":{`), code: "invalid_record", field: "payload.predicate"},
		{name: "repeated subject", envelope: resealed(`"subject":`, `"Subject":[],"subject":`), code: "invalid_record", field: "payload.subject", message: "comes twice"},
		{name: "statement and more", envelope: marshal(t, seal(t, key, PayloadType, append(body[:len(body):len(body)], "{}"...))), code: "invalid_record", field: "payload", message: "something follows"},
		{name: "statement in bad UTF-8", envelope: resealed("test_fly", "\xff"), code: "invalid_record", message: "not valid JSON", field: "payload.predicate.passedTests[0]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			kind := tt.kind
			if kind == "" {
				kind = tracedb.KindTestResult
			}
			_, err := keys.Verify(kind, tt.envelope, noon)
			if err == nil {
				t.Fatal("taken")
			}
			e := tracedb.AsError(err)
			if e.Code != tt.code || e.Field != tt.field || !strings.Contains(e.Message, tt.message) {
				t.Errorf("refused with %s at %q: %s; want %s at %q: %s", e.Code, e.Field, e.Message, tt.code, tt.field, tt.message)
			}
		})
	}
	t.Run("a retired key's old record", func(t *testing.T) {
		if v, err := keys.Verify(tracedb.KindTestResult, marshal(t, seal(t, old, PayloadType, body)), noon.Add(-time.Second)); err != nil || v.Key.Retired {
			t.Errorf("Verify before it was retired = %+v, %v", v.Key, err)
		}
	})
}

func TestUnique(t *testing.T) {
	key, other := newKey(t), newKey(t)
	body := marshal(t, statements()[tracedb.KindTestResult])
	name := func(envelope []byte) string {
		s, err := Unique(envelope)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one := name(marshal(t, seal(t, key, PayloadType, body)))
	if again := name(marshal(t, seal(t, other, PayloadType, body))); again != one {
		t.Error("signed again, it counts as another attestation")
	}
	spaced := []byte(strings.Replace(string(marshal(t, seal(t, key, PayloadType, body))), ",", " ,\n", 1))
	if name(spaced) != one {
		t.Error("written otherwise, it counts as another attestation")
	}
	next := about
	next.Run = "foundry/release-next"
	if envelope, err := Sign(key, TestResult(next, Tests{Suite: "python -m unittest", Passed: []string{"test_fly", "test_land"}})); err != nil || name(envelope) == one {
		t.Errorf("the same result of another run counts as the same attestation (%v)", err)
	}
}

func TestLoadKeyringRefuses(t *testing.T) {
	key := newKey(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := func(text []byte) KeyFile {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return KeyFile{Name: "k", File: name, Kinds: []tracedb.Kind{"*"}}
	}
	good := keyFile(t, "k", key.Public(), "*")
	tests := []struct {
		name  string
		files []KeyFile
		want  string
	}{
		{"good", []KeyFile{good}, ""},
		{"none", nil, ""},
		{"missing", []KeyFile{{Name: "k", File: "/nowhere/k.pub", Kinds: []tracedb.Kind{"*"}}}, "no such file"},
		{"private", []KeyFile{file(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}, "private one doesn't belong"},
		{"not PEM", []KeyFile{file([]byte("key"))}, "one PEM block"},
		{"two blocks", []KeyFile{file(append(publicPEM(t, key.Public()), publicPEM(t, newKey(t).Public())...))}, "nothing after it"},
		{"P-384", []KeyFile{file(publicPEM(t, p384.Public()))}, "P-384"},
		{"no name", []KeyFile{{File: good.File, Kinds: good.Kinds}}, "no name"},
		{"no kinds", []KeyFile{{Name: "k", File: good.File}}, "no kinds"},
		{"unknown kind", []KeyFile{keyFile(t, "k", key.Public(), "sbomb")}, `the kind "sbomb"`},
		{"kind without attestations", []KeyFile{keyFile(t, "k", key.Public(), tracedb.KindCommit)}, `the kind "commit"`},
		{"same name", []KeyFile{good, keyFile(t, "k", newKey(t).Public(), "*")}, "two keys are named"},
		{"same key", []KeyFile{good, keyFile(t, "l", key.Public(), "*")}, "are one key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := LoadKeyring(tt.files)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("LoadKeyring() = %v, want %q", err, tt.want)
			}
		})
	}
}

// TestKeyringOf checks attestations with nothing but the keys that the log has on record.
func TestKeyringOf(t *testing.T) {
	key := newKey(t)
	loaded := ring(t, keyFile(t, "foundry", key.Public(), tracedb.KindTestResult))
	recorded, err := KeyringOf(loaded.Keys(noon))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := Sign(key, statements()[tracedb.KindTestResult])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := recorded.Verify(tracedb.KindTestResult, envelope, time.Now()); err != nil || got.Key.Name != "foundry" {
		t.Errorf("Verify() = %+v, %v", got, err)
	}
	limited, err := Sign(key, statements()[tracedb.KindVerdict])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recorded.Verify(tracedb.KindVerdict, limited, time.Now()); !errors.Is(err, tracedb.ErrInvalidSignature) {
		t.Errorf("a kind that the key may not sign: %v", err)
	}
	other := loaded.Keys(noon)
	other[0].PEM = string(publicPEM(t, newKey(t).Public()))
	if _, err := KeyringOf(other); err == nil || !strings.Contains(err.Error(), "another key's") {
		t.Errorf("a key under another's fingerprint: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := statements()[tracedb.KindTestResult]
	unknown := good
	unknown.PredicateType = "https://example.org/other"
	contradicts := statement(about.all(), "https://in-toto.io/attestation/test-result/v0.1",
		TestRun{Result: resultPassed, Configuration: []Dependency{{Name: "s"}}, FailedTests: []string{"x"}})
	tests := []struct {
		name string
		key  crypto.Signer
		st   Statement
		want string
	}{
		{"P-384", p384, good, "only P-256"},
		{"unknown predicate", newKey(t), unknown, "no kind of record"},
		{"no subject", newKey(t), TestResult(About{}, Tests{Suite: "s"}), "at least one subject"},
		{"contradicts itself", newKey(t), contradicts, "want FAILED"},
		{"too large", newKey(t), SBOM(about, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","x":"`+strings.Repeat("x", tracedb.MaxPayload)+`"}`)), "at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Sign(tt.key, tt.st); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Sign() = %v, want %q", err, tt.want)
			}
		})
	}
	if err := func() error { _, err := Sign(newKey(t), good); return err }(); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if _, err := Sign(newKey(t), TestResult(About{Digest: "sha256:" + strings.Repeat("zz", 32)}, Tests{Suite: "s"})); !errors.Is(err, tracedb.ErrInvalidRecord) {
		t.Errorf("a digest that isn't hex: %v", err)
	}
}
