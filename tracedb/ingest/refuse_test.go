package ingest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// TestRefuses breaks one thing at a time in a good draft, and sees it refused with its code at its
// place, and the refusal recorded or not.
func TestRefuses(t *testing.T) {
	b := newBench(t)
	drafts := b.good(t, b.incident(t))
	plain := drafts[tracedb.KindSpec]
	plain.ID = "no-incident"
	b.take(t, plain)
	other := newKey(t)
	// payload replaces a text in the payload of a good draft.
	payload := func(kind tracedb.Kind, old, new string) tracedb.Draft {
		d := drafts[kind]
		if !strings.Contains(string(d.Payload), old) {
			t.Fatalf("%s isn't in %s", old, d.Payload)
		}
		d.Payload = json.RawMessage(strings.Replace(string(d.Payload), old, new, 1))
		return d
	}
	with := func(kind tracedb.Kind, change func(*tracedb.Draft)) tracedb.Draft {
		d := drafts[kind]
		change(&d)
		return d
	}
	ref := func(kind tracedb.Kind, typ tracedb.RefType, value string) tracedb.Draft {
		return with(kind, func(d *tracedb.Draft) { d.Refs = []tracedb.Ref{{Type: typ, Value: value}} })
	}
	forged := func(envelope func(e map[string]any)) tracedb.Draft {
		return with(tracedb.KindProvenance, func(d *tracedb.Draft) {
			var e map[string]any
			if err := json.Unmarshal(d.Payload, &e); err != nil {
				t.Fatal(err)
			}
			envelope(e)
			d.Payload = raw(t, e)
		})
	}
	// bare adds a ref to an attestation that names no commit, repository or run: its subject is an image.
	bare := func(typ tracedb.RefType, value string) tracedb.Draft {
		return with(tracedb.KindSBOM, func(d *tracedb.Draft) {
			d.Payload = b.sign(t, attest.SBOM(attest.About{Image: about.Image, Digest: digest}, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}`)))
			d.Refs = []tracedb.Ref{{Type: typ, Value: value}}
		})
	}
	long := strings.Repeat("x", maxText+1)
	at := "records[0]."
	tests := []struct {
		name  string
		draft tracedb.Draft
		code  string
		field string
		says  string // part of the message
		kept  bool   // the refusal is recorded
	}{
		{"unknown kind", tracedb.Draft{ID: "x", Kind: "gossip", Payload: json.RawMessage(`{}`)}, "invalid_record", at + "kind", "no such kind", false},
		{"the service's own kind", tracedb.Draft{ID: "x", Kind: tracedb.KindKey, Payload: json.RawMessage(`{}`)}, "forbidden", at + "kind", "may not write", true},
		{"disposal by a client", tracedb.Draft{ID: "x", Kind: tracedb.KindDisposal, Payload: json.RawMessage(`{}`)}, "forbidden", at + "kind", "", true},

		{"no id", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.ID = "" }), "invalid_record", at + "id", "", false},
		{"id with a space", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.ID = "a b" }), "invalid_record", at + "id", "", false},
		{"id with a line break", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.ID = "a\n" }), "invalid_record", at + "id", "", false},
		{"id too long", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.ID = strings.Repeat("a", 257) }), "invalid_record", at + "id", "", false},
		{"id that is a token", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.ID = "gh" + "p_" + strings.Repeat("aB3", 12) }), "invalid_record", at + "id", "github-token", true},
		{"from the future", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.At = noon.Add(future + refusalEvery + time.Second) }), "invalid_record", at + "at", "ahead of", false},
		{"from the past", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.At = noon.AddDate(-30, 0, 0) }), "invalid_record", at + "at", "", false},
		{"actor on two lines", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.Actor = "a\nb" }), "invalid_record", at + "actor", "", false},
		{"actor too long", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.Actor = strings.Repeat("a", 201) }), "invalid_record", at + "actor", "", false},
		{"actor in bad UTF-8", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.Actor = "\xff" }), "invalid_record", at + "actor", "", false},
		{"no payload", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.Payload = nil }), "invalid_record", at + "payload", "want a payload", false},
		{"payload too large", with(tracedb.KindSpec, func(d *tracedb.Draft) {
			d.Payload = json.RawMessage(`"` + strings.Repeat("x", tracedb.MaxPayload) + `"`)
		}), "too_large", at + "payload", "", true},
		{"own payload too large", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.Payload = json.RawMessage(`"` + strings.Repeat("x", maxOwn) + `"`) }), "too_large", at + "payload", "", true},
		{"outcome where there is none", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.Outcome = tracedb.Passed }), "invalid_record", at + "outcome", "have none", false},
		{"outcome of another kind", with(tracedb.KindReview, func(d *tracedb.Draft) { d.Outcome = tracedb.Gone }), "invalid_record", at + "outcome", "want one of", false},
		{"no outcome", with(tracedb.KindReview, func(d *tracedb.Draft) { d.Outcome = "" }), "invalid_record", at + "outcome", "want one of", false},
		{"outcome that the payload contradicts", with(tracedb.KindTestResult, func(d *tracedb.Draft) { d.Outcome = tracedb.Passed }), "invalid_record", at + "outcome", "the payload says failed", false},

		{"ref of no type", ref(tracedb.KindSpec, "planet", "mars"), "invalid_record", at + "refs[0]", "no such type", false},
		{"ref of a bad shape", ref(tracedb.KindSpec, tracedb.RefImage, "latest"), "invalid_record", at + "refs[0]", "sha256", false},
		{"too many refs", with(tracedb.KindSpec, func(d *tracedb.Draft) {
			for i := range tracedb.MaxRefs + 1 {
				d.Refs = append(d.Refs, tracedb.Ref{Type: tracedb.RefRecord, Value: fmt.Sprint(i)})
			}
		}), "invalid_record", at + "refs", "at most", false},
		{"too many refs with the payload's", with(tracedb.KindSpec, func(d *tracedb.Draft) {
			for i := range tracedb.MaxRefs {
				d.Refs = append(d.Refs, tracedb.Ref{Type: tracedb.RefRecord, Value: fmt.Sprint(i)})
			}
		}), "invalid_record", at + "refs", "together", false},
		{"another repository than the statement's", ref(tracedb.KindSBOM, tracedb.RefRepository, "druppie/other"), "invalid_record", at + "refs[0]", "isn't about this repository", false},
		{"an image that isn't a subject", ref(tracedb.KindTestResult, tracedb.RefImage, "sha256:"+strings.Repeat("0", 64)), "invalid_record", at + "refs[0]", "isn't about this image", false},
		{"an image on an attestation of a commit", with(tracedb.KindTestResult, func(d *tracedb.Draft) {
			d.Payload = b.sign(t, attest.TestResult(attest.About{Repository: "druppie/drone", Commit: sha}, attest.Tests{Suite: "s"}))
			d.Refs = []tracedb.Ref{{Type: tracedb.RefImage, Value: digest}}
		}), "invalid_record", at + "refs[0]", "isn't about this image", false},
		{"a commit on an attestation of an image", bare(tracedb.RefCommit, sha), "invalid_record", at + "refs[0]", "isn't about this commit", false},
		{"a repository on an attestation of an image", bare(tracedb.RefRepository, "druppie/other"), "invalid_record", at + "refs[0]", "isn't about this repository", false},
		{"a run on an attestation of an image", bare(tracedb.RefRun, "foundry/other"), "invalid_record", at + "refs[0]", "isn't about this run", false},
		{"a pull request on an attestation", ref(tracedb.KindTestResult, tracedb.RefPull, "druppie/drone#7"), "invalid_record", at + "refs[0]", "isn't about this pull", false},
		{"an algorithm on an attestation", ref(tracedb.KindProvenance, tracedb.RefAlgorithm, algorithm), "invalid_record", at + "refs[0]", "isn't about this algorithm", false},
		{"a key that didn't sign", ref(tracedb.KindTestResult, tracedb.RefKey, "SHA256:"+strings.Repeat("0", 64)), "invalid_record", at + "refs[0]", "isn't about this key", false},
		{"a key on what isn't signed", ref(tracedb.KindCommit, tracedb.RefKey, "SHA256:"+strings.Repeat("0", 64)), "invalid_record", at + "refs[0]", "isn't about this key", false},
		{"another algorithm than the file's", ref(tracedb.KindRegister, tracedb.RefAlgorithm, "alg-00000000"), "invalid_record", at + "refs[0]", "isn't about this algorithm", false},
		{"another image than the exception's", with(tracedb.KindException, func(d *tracedb.Draft) {
			d.Payload = raw(t, tracedb.Exception{Algorithm: algorithm, Rule: "status", Image: digest, Until: noon.Add(time.Hour), Reason: "r", GrantedBy: "ciso"})
			d.Refs = []tracedb.Ref{{Type: tracedb.RefImage, Value: "sha256:" + strings.Repeat("0", 64)}}
		}), "invalid_record", at + "refs[0]", "isn't about this image", false},
		{"another run than the statement's", ref(tracedb.KindProvenance, tracedb.RefRun, "foundry/other"), "invalid_record", at + "refs[0]", "isn't about this run", false},

		{"not JSON", with(tracedb.KindSpec, func(d *tracedb.Draft) { d.Payload = json.RawMessage(`{`) }), "invalid_record", at + "payload", "not valid JSON", false},
		{"unknown field", payload(tracedb.KindSpec, `{`, `{"color":"red",`), "invalid_record", at + "payload.color", "no such field", false},
		{"unknown field below", payload(tracedb.KindRun, `"tasks":[{`, `"tasks":[{"color":"red",`), "invalid_record", at + "payload.tasks[0].color", "no such field", false},
		{"field twice", payload(tracedb.KindSpec, `{`, `{"title":"x",`), "invalid_record", at + "payload.title", "comes twice", false},
		{"wrong type", payload(tracedb.KindReview, `"pull":7`, `"pull":"7"`), "invalid_record", at + "payload.pull", "this text", false},
		{"text too long", payload(tracedb.KindSpec, `"text":"fly"`, `"text":"`+long+`"`), "invalid_record", at + "payload.text", "at most", false},
		{"name too long", payload(tracedb.KindSpec, `"title":"Drone"`, `"title":"`+long[:MaxName+1]+`"`), "invalid_record", at + "payload.title", "at most", false},
		{"spec without a title", payload(tracedb.KindSpec, `"title":"Drone"`, `"title":""`), "invalid_record", at + "payload.title", "want a text", false},
		{"spec of nobody", payload(tracedb.KindSpec, `"requested_by":"piet",`, ``), "invalid_record", at + "payload.requested_by", "want a text", false},
		{"session with a prompt", payload(tracedb.KindSession, `"`+digest+`"`, `"write a drone"`), "invalid_record", at + "payload.prompt_digest", "sha256", false},
		{"session without a model", payload(tracedb.KindSession, `"model":"m"`, `"model":""`), "invalid_record", at + "payload.model", "want a text", false},
		{"short commit", payload(tracedb.KindCommit, `"commit":"`+sha+`"`, `"commit":"2e2e2e2"`), "invalid_record", at + "payload.commit", "full commit hash", false},
		{"commit in capitals", payload(tracedb.KindCommit, `"commit":"`+sha+`"`, `"commit":"`+strings.ToUpper(sha)+`"`), "invalid_record", at + "payload.commit", "lower-case", false},
		{"commit before that is none", payload(tracedb.KindCommit, `"author"`, `"before":"x","author"`), "invalid_record", at + "payload.before", "full commit hash", false},
		{"other commit that is none", payload(tracedb.KindCommit, strings.Repeat("3d", 20), `x`), "invalid_record", at + "payload.others[0]", "full commit hash", false},
		{"repository out of the tree", payload(tracedb.KindCommit, `druppie/drone`, `../../etc`), "invalid_record", at + "payload.repository", "owner/name", false},
		{"review of no pull request", payload(tracedb.KindReview, `"pull":7`, `"pull":0`), "invalid_record", at + "payload.pull", "number", false},
		{"review by nobody", payload(tracedb.KindReview, `"anna"`, `""`), "invalid_record", at + "payload.reviewer", "want a text", false},
		{"merge without a head", payload(tracedb.KindMerge, strings.Repeat("3d", 20), ``), "invalid_record", at + "payload.head", "full commit hash", false},
		{"run without a namespace", payload(tracedb.KindRun, `foundry/release-1`, `release-1`), "invalid_record", at + "payload.run", "namespace/name", false},
		{"task's outcome", payload(tracedb.KindRun, `"outcome":"passed"`, `"outcome":"denied"`), "invalid_record", at + "payload.tasks[0].outcome", "want one of", false},
		{"time", payload(tracedb.KindRun, `"reason"`, `"started":"noon","reason"`), "invalid_record", at + "payload.started", "RFC 3339", false},
		{"image by tag", payload(tracedb.KindImage, digest, `latest`), "invalid_record", at + "payload.digest", "sha256", false},
		{"signature of a short key", payload(tracedb.KindSignature, `"SHA256:`, `"SHA256:x`), "invalid_record", at + "payload.key", "SHA256", false},
		{"promotion to no tenant", payload(tracedb.KindPromotion, `"drones"`, `""`), "invalid_record", at + "payload.tenant", "namespace", false},
		{"promotion into no fleet", payload(tracedb.KindPromotion, `druppie/fleet`, `fleet`), "invalid_record", at + "payload.fleet", "owner/name", false},
		{"admission without a reason", payload(tracedb.KindAdmission, `"no signature"`, `""`), "invalid_record", at + "payload.reason", "want a text", false},
		{"admission with an empty image", payload(tracedb.KindAdmission, `"evil:latest"`, `""`), "invalid_record", at + "payload.images[1]", "want a text", false},
		{"admission by an exception before the log", payload(tracedb.KindAdmission, `"policy"`, `"exception":-1,"policy"`), "invalid_record", at + "payload.exception", "place of a record", false},
		{"deployment of nothing", payload(tracedb.KindDeployment, `"Pod/drone-1"`, `"drone-1"`), "invalid_record", at + "payload.object", "Kind/name", false},
		{"deployment from no source", payload(tracedb.KindDeployment, `"images"`, `"source":"x","images"`), "invalid_record", at + "payload.source", "owner/name", false},
		{"drift of nowhere", payload(tracedb.KindDrift, `"drones"`, `"Drones!"`), "invalid_record", at + "payload.namespace", "namespace", false},
		{"incident that says nothing", payload(tracedb.KindIncident, `"crashes"`, `""`), "invalid_record", at + "payload.summary", "want a text", false},
		{"repair of no record", payload(tracedb.KindRepair, `"incident":0`, `"incident":99`), "invalid_record", at + "payload.incident", "no incident", false},
		{"repair of what isn't an incident", payload(tracedb.KindRepair, `"incident":0`, `"incident":1`), "invalid_record", at + "payload.incident", "no incident", false},
		{"repair before the log", payload(tracedb.KindRepair, `"incident":0`, `"incident":-1`), "invalid_record", at + "payload.incident", "place of a record", false},

		{"register without a file", payload(tracedb.KindRegister, `"source":"`, `"source":"","x":"`), "invalid_record", at + "payload.x", "no such field", false},
		{"register with a bad file", payload(tracedb.KindRegister, `lang: nld`, `lang: klingon`), "invalid_record", at + "payload.source", "register.lang", false},
		{"register with nonsense", payload(tracedb.KindRegister, `schema: druppie`, `: [`), "invalid_record", at + "payload.source", "algorithm.yaml:", false},

		{"exception without a reason", payload(tracedb.KindException, `"flood"`, `""`), "invalid_record", at + "payload.reason", "want a text", false},
		{"exception by nobody", payload(tracedb.KindException, `"ciso"`, `""`), "invalid_record", at + "payload.granted_by", "want a text", false},
		{"exception for another rule", payload(tracedb.KindException, `"status"`, `"signature"`), "invalid_record", at + "payload.rule", "want status", false},
		{"exception for no algorithm", payload(tracedb.KindException, algorithm, `*`), "invalid_record", at + "payload.algorithm", "alg-", false},
		{"exception without an end", payload(tracedb.KindException, `"until":"2026-01-31T13:00:00Z",`, ``), "invalid_record", at + "payload.until", "the time when it ends", false},
		{"exception for ever", payload(tracedb.KindException, `2026-01-31`, `2027-02-02`), "invalid_record", at + "payload.until", "at most a year", false},
		{"exception that is over", payload(tracedb.KindException, `T13:00`, `T11:00`), "invalid_record", at + "payload.until", "a time to come", false},

		{"signed with another key", with(tracedb.KindProvenance, func(d *tracedb.Draft) {
			envelope, err := attest.Sign(other, attest.Provenance(about, attest.Build{Builder: "https://druppie.io/foundry"}))
			if err != nil {
				t.Fatal(err)
			}
			d.Payload = envelope
		}), "invalid_signature", at + "payload.signatures[0]", "no key of the keyring", true},
		{"altered", forged(func(e map[string]any) {
			body, err := base64.StdEncoding.DecodeString(e["payload"].(string))
			if err != nil {
				t.Fatal(err)
			}
			e["payload"] = base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(body), "druppie/drone", "druppie/other")))
		}), "invalid_signature", at + "payload.signatures[0]", "no key of the keyring", true},
		{"signature stripped", forged(func(e map[string]any) { e["signatures"] = []any{} }), "invalid_signature", at + "payload.signatures", "isn't signed", true},
		{"other payload type", forged(func(e map[string]any) { e["payloadType"] = "application/json" }), "invalid_record", at + "payload.payloadType", "want application", false},
		{"another kind's attestation", with(tracedb.KindSBOM, func(d *tracedb.Draft) { d.Payload = drafts[tracedb.KindProvenance].Payload }), "invalid_record", at + "payload.payload.predicateType", "want https://cyclonedx", false},
		{"not an envelope", with(tracedb.KindProvenance, func(d *tracedb.Draft) { d.Payload = json.RawMessage(`{"repository":"druppie/drone"}`) }), "invalid_record", at + "payload.repository", "no such field", false},
		{"run of a bad shape in an attestation", with(tracedb.KindTestResult, func(d *tracedb.Draft) {
			st := attest.TestResult(about, attest.Tests{Suite: "s"})
			st.Subject[1].Annotations = map[string]any{"run": "<x>"}
			d.Payload = seal(t, b, st)
		}), "invalid_record", at + "payload.payload.subject[1].annotations.run", "namespace/name", false},
		{"secret in an attestation", with(tracedb.KindTestResult, func(d *tracedb.Draft) {
			d.Payload = b.sign(t, attest.TestResult(about, attest.Tests{Suite: "curl https://ci:h0nd@gitea/x"}))
		}), "invalid_record", at + "payload.payload.predicate.configuration[0].name", "password", true},
		{"secret under its name in an attestation", with(tracedb.KindSBOM, func(d *tracedb.Draft) {
			d.Payload = b.sign(t, attest.SBOM(about, json.RawMessage(`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"db_password":"h0nd-in-de-pot"}}`)))
		}), "invalid_record", at + "payload.payload.predicate.metadata.db_password", "secret", true},
	}
	size := b.log.Size()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.now = b.now.Add(refusalEvery) // one more may be recorded
			before := len(b.refused(t))
			_, err := b.Append(t.Context(), writer(), []tracedb.Draft{tt.draft})
			if err == nil {
				t.Fatal("taken")
			}
			e := tracedb.AsError(err)
			if e.Code != tt.code || e.Field != tt.field || !strings.Contains(e.Message, tt.says) {
				t.Errorf("refused with %s at %q: %s; want %s at %q: %s", e.Code, e.Field, e.Message, tt.code, tt.field, tt.says)
			}
			kept := b.refused(t)[before:]
			if tt.kept != (len(kept) == 1) {
				t.Fatalf("%d refusals were recorded, want it: %t", len(kept), tt.kept)
			}
			if tt.kept {
				size++
				if r := kept[0]; r.Code != tt.code || r.Kind != tt.draft.Kind || !strings.Contains(r.Reason, tt.says) || len(r.Payload) != len(digest) {
					t.Errorf("recorded %+v", r)
				}
			}
			if n := b.log.Size(); n != size {
				t.Errorf("the log has %d records, want %d", n, size)
			}
		})
		b.now = noon
	}
	// What was broken each time is good as it was.
	for _, draft := range drafts {
		b.take(t, draft)
	}
}

// seal signs what Sign wouldn't, as a hostile key's owner could.
func seal(t *testing.T, b *bench, st attest.Statement) json.RawMessage {
	t.Helper()
	body := raw(t, st)
	envelope := sealed(t, b.key, body)
	return envelope
}

func TestWhoMay(t *testing.T) {
	b := newBench(t)
	draft := b.good(t, 0)[tracedb.KindSpec]
	tests := []struct {
		name string
		who  tracedb.Identity
		want string
	}{
		{"nobody", tracedb.Identity{}, "unauthenticated"},
		{"auditor", tracedb.Identity{Name: "gitea:auditor", Roles: []tracedb.Role{tracedb.RoleAuditor}}, "forbidden"},
		{"writer of other kinds", tracedb.Identity{Name: "x", Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{tracedb.KindRun}}, "forbidden"},
		{"kinds without the role", tracedb.Identity{Name: "x", Kinds: []tracedb.Kind{tracedb.KindSpec}}, "forbidden"},
		{"writer of this kind", tracedb.Identity{Name: "x", Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{tracedb.KindSpec}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := b.Append(t.Context(), tt.who, []tracedb.Draft{draft})
			if got := code(err); got != tt.want {
				t.Errorf("Append() = %v, want %s", err, tt.want)
			}
		})
	}
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return tracedb.AsError(err).Code
}

// TestBatch holds that a batch is taken whole or not at all, and that the bad one is named.
func TestBatch(t *testing.T) {
	b := newBench(t)
	var drafts []tracedb.Draft
	for i := range 5 {
		d := b.good(t, 0)[tracedb.KindSpec]
		d.ID = fmt.Sprint(i)
		drafts = append(drafts, d)
	}
	bad := slices.Clone(drafts)
	bad[3].Payload = json.RawMessage(`{"spec":1}`)
	_, err := b.Append(t.Context(), writer(), bad)
	if e := tracedb.AsError(err); err == nil || e.Field != "records[3].payload.spec" || b.log.Size() != 0 {
		t.Errorf("Append() = %v, the log has %d records", err, b.log.Size())
	}
	if got := b.take(t, drafts...); len(got) != 5 || b.log.Size() != 5 {
		t.Errorf("Append() = %+v", got)
	}
	if _, err := b.Append(t.Context(), writer(), nil); code(err) != "invalid" || tracedb.AsError(err).Field != "records" {
		t.Errorf("an empty batch: %v", err)
	}
	if _, err := b.Append(t.Context(), writer(), make([]tracedb.Draft, MaxBatch+1)); code(err) != "too_large" {
		t.Errorf("a batch too large: %v", err)
	}
}

// TestLogRefuses sees what only the log can know come back at its place, with what to do.
func TestLogRefuses(t *testing.T) {
	b := newBench(t)
	drafts := b.good(t, b.incident(t))
	provenance, entry, spec := drafts[tracedb.KindProvenance], drafts[tracedb.KindRegister], drafts[tracedb.KindSpec]
	b.take(t, provenance, entry, spec)

	replay := provenance
	replay.ID = "another"
	taken := entry
	taken.ID, taken.Payload = "another", raw(t, tracedb.RegisterEntry{Repository: "druppie/thief", Commit: sha, Source: source})
	// Under a new id, what the register says of the old one would be forgotten.
	renamed := entry
	renamed.ID, renamed.Payload = "another", raw(t, tracedb.RegisterEntry{Repository: "druppie/drone", Commit: sha, Source: strings.ReplaceAll(source, algorithm, "alg-zzzzzzzz")})
	claim := drafts[tracedb.KindCommit]
	claim.Payload = raw(t, tracedb.Commit{Repository: "druppie/thief", Branch: "main", Commit: sha, Author: "a", Pusher: "b"})
	claim.Refs = []tracedb.Ref{{Type: tracedb.RefAlgorithm, Value: algorithm}}
	reused := spec
	reused.Payload = raw(t, tracedb.Spec{Spec: "spec-1", Title: "Another", RequestedBy: "piet"})
	tests := []struct {
		name  string
		draft tracedb.Draft
		blind bool // the catalog doesn't know, so that the log must
		code  string
		field string
	}{
		{"replayed under another id", replay, false, "replayed", "payload"},
		{"id of another repository", taken, false, "bound", "payload.repository"},
		{"id of another repository, unknown here", taken, true, "bound", "payload.repository"},
		{"another id for the same repository", renamed, false, "bound", "payload.source.id"},
		{"another id for the same repository, unknown here", renamed, true, "bound", "payload.repository"},
		{"evidence under another's id", claim, false, "bound", "payload.repository"},
		{"another record under a used id", reused, false, "conflict", "id"},
	}
	known := b.o.Catalog
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.o.Catalog = known
			if tt.blind {
				b.o.Catalog = unaware(t)
			}
			good := tracedb.Draft{ID: "fine", Kind: tracedb.KindIncident, Payload: drafts[tracedb.KindIncident].Payload}
			before := len(b.refused(t))
			_, err := b.Append(t.Context(), writer(), []tracedb.Draft{good, tt.draft})
			e := tracedb.AsError(err)
			if err == nil || e.Code != tt.code || e.Field != "records[1]."+tt.field || e.Hint == "" {
				t.Errorf("Append() = %+v", e)
			}
			kept := b.refused(t)[before:]
			if len(kept) != 1 || kept[0].Code != tt.code || kept[0].ID != tt.draft.ID {
				t.Errorf("recorded %+v", kept)
			}
		})
	}
	b.o.Catalog = known
	// The same attestation by another writer is a replay, too.
	who := writer()
	who.Name = "system:serviceaccount:foundry:other"
	if _, err := b.Append(t.Context(), who, []tracedb.Draft{provenance}); code(err) != "replayed" {
		t.Errorf("replayed by another writer: %v", err)
	}
}

// TestRefusalsAreFew holds that whoever is refused can't fill the disk with it, nor take away
// others' measure, and that what wasn't recorded is counted in what is.
func TestRefusalsAreFew(t *testing.T) {
	b := newBench(t)
	forbidden := tracedb.Draft{ID: "x", Kind: tracedb.KindKey, Payload: json.RawMessage(`{}`)}
	for range 100 {
		if _, err := b.Append(t.Context(), writer(), []tracedb.Draft{forbidden}); code(err) != "forbidden" {
			t.Fatal(err)
		}
	}
	if n := len(b.refused(t)); n != refusalBurst {
		t.Errorf("%d refusals were recorded, want %d", n, refusalBurst)
	}
	other := writer()
	other.Name = "other"
	if _, err := b.Append(t.Context(), other, []tracedb.Draft{forbidden}); code(err) != "forbidden" || len(b.refused(t)) != refusalBurst+1 {
		t.Errorf("another writer's refusal wasn't recorded: %v", err)
	}
	b.now = b.now.Add(refusalEvery)
	if _, err := b.Append(t.Context(), writer(), []tracedb.Draft{forbidden}); err == nil {
		t.Fatal("taken")
	}
	kept := b.refused(t)
	if r := kept[len(kept)-1]; len(kept) != refusalBurst+2 || !strings.Contains(r.Reason, fmt.Sprintf("and %d refusals before this one", 100-refusalBurst)) {
		t.Errorf("then %d were recorded, the last %+v", len(kept), r)
	}
	if s := b.Stats(); s.Refused != 102 || s.RefusalsUnrecorded != 100-refusalBurst {
		t.Errorf("Stats() = %+v", s)
	}
	// Beyond maxWriters, writers share what one has.
	r := newRefusals()
	recorded := 0
	for i := range 10 * maxWriters {
		if _, ok := r.allow(fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second)); ok {
			recorded++
		}
	}
	if len(r.writers) > maxWriters+1 || recorded > maxWriters+refusalBurst+9*maxWriters/10+1 {
		t.Errorf("%d writers are remembered, %d refusals recorded", len(r.writers), recorded)
	}
}

// TestRefusalKeepsNothing holds that a refusal repeats neither the payload nor an id that could be
// anything.
func TestRefusalKeepsNothing(t *testing.T) {
	b := newBench(t)
	draft := tracedb.Draft{ID: "<script> x", Kind: tracedb.KindKey, Actor: "x", Payload: json.RawMessage(`{"name":"very private"}`)}
	if _, err := b.Append(t.Context(), writer(), []tracedb.Draft{draft}); code(err) != "forbidden" {
		t.Fatal(err)
	}
	entries, err := b.log.Range(t.Context(), 0, 10)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	payload, err := b.log.Payload(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(payload) + string(entries[0].Leaf()); strings.Contains(got, "private") || strings.Contains(got, "script") {
		t.Errorf("recorded %s", got)
	}
	if entries[0].Actor != writer().Name {
		t.Errorf("actor = %q", entries[0].Actor)
	}
	// A writer that has hung up is recorded all the same.
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := b.Append(ctx, writer(), []tracedb.Draft{draft}); code(err) != "forbidden" || b.log.Size() != 2 {
		t.Errorf("Append() = %v, the log has %d records", err, b.log.Size())
	}
}

// TestExceptionTakenBack ends an exception before its time, and nothing that never was.
func TestExceptionTakenBack(t *testing.T) {
	b := newBench(t)
	grant := func(id string, until time.Time) error {
		_, err := b.Append(t.Context(), writer(), []tracedb.Draft{{ID: id, Kind: tracedb.KindException, Payload: raw(t, tracedb.Exception{Algorithm: algorithm, Rule: "status", Until: until, Reason: "r", GrantedBy: "ciso"})}})
		return err
	}
	if err := grant("a", noon.Add(-time.Second)); code(err) != "invalid_record" {
		t.Errorf("taking back nothing: %v", err)
	}
	if err := grant("b", noon.Add(365*24*time.Hour)); err != nil {
		t.Errorf("for a year: %v", err)
	}
	if err := grant("c", noon.Add(-time.Second)); err != nil {
		t.Errorf("taking it back: %v", err)
	}
	e, ok := b.o.Catalog.Exception(algorithm + "/status")
	if !ok || e.Until.After(noon) {
		t.Errorf("Exception() = %+v, %t", e, ok)
	}
}

// TestClockBack takes records also when the clock has jumped back; the log keeps its own order.
func TestClockBack(t *testing.T) {
	b := newBench(t)
	b2 := newBench(t, logtest.Now(func() time.Time { return b.now }))
	var times []time.Time
	for i, at := range []time.Time{noon, noon.Add(-time.Hour), noon.Add(-48 * time.Hour)} {
		b.now = at
		b2.now = at
		d := b2.good(t, 0)[tracedb.KindSpec]
		d.ID, d.At = fmt.Sprint(i), time.Time{}
		times = append(times, b2.take(t, d)[0].Time)
	}
	if !slices.IsSortedFunc(times, time.Time.Compare) {
		t.Errorf("log times = %v", times)
	}
}

func TestAppendOwn(t *testing.T) {
	b := newBench(t)
	if _, err := b.AppendOwn(t.Context(), []tracedb.Draft{b.good(t, 0)[tracedb.KindSpec]}); err == nil {
		t.Error("the service wrote a spec under its own name")
	}
	drafts := []tracedb.Draft{
		{ID: "k", Kind: tracedb.KindKey, Payload: raw(t, tracedb.Key{Name: "foundry", Fingerprint: "SHA256:" + strings.Repeat("0", 64)})},
		{ID: "d", Kind: tracedb.KindDisposal, Payload: raw(t, tracedb.Disposal{Kind: tracedb.KindRun, Before: noon, Seqs: []int64{1}, Reason: "term over"})},
		{ID: "r", Kind: tracedb.KindRead, Actor: "gitea:anna", Payload: raw(t, tracedb.Read{What: "why", Of: digest})},
	}
	receipts, err := b.AppendOwn(t.Context(), drafts)
	if err != nil || len(receipts) != 3 {
		t.Fatalf("AppendOwn() = %+v, %v", receipts, err)
	}
	entries, err := b.log.Entries(t.Context(), 0, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	var actors []string
	for _, e := range entries {
		actors = append(actors, e.Writer+" "+e.Actor)
	}
	if diff := cmp.Diff([]string{"tracedb tracedb", "tracedb tracedb", "tracedb gitea:anna"}, actors); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
