package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
)

// services are those of a large platform; each gets release after release.
const services = 500

// Service is one of them: its names are all made from its number, so that whoever asks the large log
// knows what to ask for.
type Service int

// Repository is owner/name.
func (s Service) Repository() string { return fmt.Sprintf("druppie/service-%03d", int(s)) }

// Algorithm is the id in its algorithm.yaml.
func (s Service) Algorithm() string { return fmt.Sprintf("alg-%08d", int(s)) }

// Namespace is where it runs.
func (s Service) Namespace() string { return fmt.Sprintf("tenant-%02d", int(s)%20) }

// Commit of its n-th release.
func (s Service) Commit(n int) string { return s.hash("commit", n)[:40] }

// Digest of the image of its n-th release.
func (s Service) Digest(n int) string { return "sha256:" + s.hash("image", n) }

// Run is the pipeline run of its n-th release.
func (s Service) Run(n int) string { return fmt.Sprintf("foundry/release-%03d-%d", int(s), n) }

// Pod is one that runs the n-th release.
func (s Service) Pod(n int) string {
	return fmt.Sprintf("%s/service-%03d-%s", s.Namespace(), int(s), s.hash("pod", n)[:10])
}

func (s Service) hash(what string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", what, s, n))
	return hex.EncodeToString(sum[:])
}

// storyteller writes the records of releases, as the foundry and the collectors do.
type storyteller struct {
	signer crypto.Signer
	random *rand.ChaCha8
}

func newStoryteller(seed byte) *storyteller {
	return &storyteller{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), rand.NewChaCha8([32]byte{seed})}
}

// words are n bytes of text that nobody wrote before.
func (s *storyteller) words(n int) string {
	const syllables = "dijk peil sloot meter kade stuw gemaal polder meting water regen grond "
	var b strings.Builder
	for b.Len() < n {
		r := s.random.Uint64()
		b.WriteString(syllables[r%60 : r%60+uint64(r>>32)%10+1])
	}
	return strings.TrimSpace(b.String()[:n])
}

// release is all that the log hears about one release of a service: eighteen records, and a version of
// its entry in the register with the first and then every tenth.
func (s *storyteller) release(service Service, n int) ([]log.Prepared, error) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n)*24*time.Hour + time.Duration(service)*time.Minute)
	commit, digest, run := service.Commit(n), service.Digest(n), service.Run(n)
	head, revision, session, spec := service.hash("head", n)[:40], service.hash("fleet", n)[:40], "session-"+service.hash("session", n)[:12], fmt.Sprintf("spec-%03d", int(service))
	about := attest.About{Image: names.RegistryHost + "/" + service.Repository(), Digest: digest, Repository: service.Repository(), Commit: commit, Run: run}
	bom, err := json.Marshal(attest.BOM{Format: "CycloneDX", SpecVersion: "1.6", Components: s.components(12)})
	if err != nil {
		return nil, err
	}
	started, finished := at.Add(time.Minute), at.Add(4*time.Minute)
	var tasks []tracedb.Task
	for _, name := range []string{"clone", "check", "test", "build", "scan", "push", "sign", "record", "promote"} {
		tasks = append(tasks, tracedb.Task{Name: name, Outcome: tracedb.Passed, Started: started, Finished: finished})
	}
	workload := fmt.Sprintf("Deployment/service-%03d", int(service))

	t := telling{s: s, at: at, who: fmt.Sprintf("%03d/%d", int(service), n)}
	repository, algorithm := ref(tracedb.RefRepository, service.Repository()), ref(tracedb.RefAlgorithm, service.Algorithm())
	of, image, pipeline, space := ref(tracedb.RefCommit, commit), ref(tracedb.RefImage, digest), ref(tracedb.RefRun, run), ref(tracedb.RefNamespace, service.Namespace())
	pull := ref(tracedb.RefPull, fmt.Sprintf("%s#%d", service.Repository(), n+1))
	t.own(tracedb.KindSession, "builder-agent", "", tracedb.Session{Session: session, Spec: spec, AskedBy: "anna", Model: "builder", Tool: "druppie", PromptDigest: "sha256:" + service.hash("prompt", n),
		Repository: service.Repository(), Commit: head}, repository, ref(tracedb.RefSession, session), ref(tracedb.RefSpec, spec), ref(tracedb.RefCommit, head))
	t.own(tracedb.KindCommit, "builder-agent", "", tracedb.Commit{Repository: service.Repository(), Branch: "change", Commit: head, Author: "builder-agent", Pusher: "builder-agent", Message: s.words(300)},
		repository, ref(tracedb.RefCommit, head))
	t.own(tracedb.KindReview, "bram", tracedb.Approved, tracedb.Review{Repository: service.Repository(), Pull: int64(n + 1), Title: s.words(40), Author: "builder-agent", Reviewer: "bram", Reason: s.words(300), Commit: head},
		repository, pull, ref(tracedb.RefCommit, head))
	t.own(tracedb.KindMerge, "bram", "", tracedb.Merge{Repository: service.Repository(), Pull: int64(n + 1), Title: s.words(40), Author: "builder-agent", MergedBy: "bram", Head: head, Commit: commit},
		repository, pull, ref(tracedb.RefCommit, head), of)
	t.attested(tracedb.KindTestResult, tracedb.Passed, attest.TestResult(about, attest.Tests{Suite: "python -m unittest", Passed: s.names("test_", 30)}), repository, of, image, pipeline)
	t.attested(tracedb.KindSARIF, tracedb.Passed, attest.SARIF(about, attest.Analysis{Tool: "ruff", Version: "0.14.6", Result: "PASSED", Results: s.findings(8)}), repository, of, image, pipeline)
	t.attested(tracedb.KindVulns, tracedb.Passed, attest.Vulns(about, attest.Scan{Scanner: "pkg:golang/github.com/aquasecurity/trivy", Version: "0.67.2", DB: "trivy-db", DBVersion: "2", DBUpdated: at,
		Started: started, Finished: finished, Found: s.vulnerabilities(10), Result: "PASSED"}), repository, of, image, pipeline)
	t.attested(tracedb.KindSBOM, "", attest.SBOM(about, bom), repository, of, image, pipeline)
	t.attested(tracedb.KindVerdict, tracedb.Passed, attest.Verdict(about, attest.Gate{Verifier: "https://druppie.io/foundry/gate", Created: finished, Passed: s.names("FOUNDRY_", 6)}), repository, of, image, pipeline)
	t.attested(tracedb.KindProvenance, "", attest.Provenance(about, attest.Build{Builder: "https://druppie.io/foundry", Source: "https://gitea.example/" + service.Repository(), Started: started, Finished: finished,
		Images: map[string]string{"python:3.13-slim": "sha256:" + service.hash("base", 0)}}), repository, of, image, pipeline)
	t.own(tracedb.KindImage, "foundry", "", tracedb.Image{Image: about.Image, Digest: digest, Repository: service.Repository(), Commit: commit, Run: run}, repository, of, image, pipeline)
	t.own(tracedb.KindSignature, "foundry", "", tracedb.Signature{Digest: digest, Key: attest.Fingerprint(s.signer.Public()), Run: run, Commit: commit}, image, pipeline, of)
	if n%10 == 0 {
		t.own(tracedb.KindRegister, "foundry", "", tracedb.RegisterEntry{Repository: service.Repository(), Commit: commit, Source: service.entry()}, repository, of, algorithm)
	}
	t.own(tracedb.KindPromotion, "foundry", "", tracedb.Promotion{Digest: digest, Repository: service.Repository(), Commit: commit, Fleet: "druppie/fleet", Pull: int64(n), Revision: revision, Tenant: service.Namespace(), Run: run},
		repository, of, image, pipeline, space, ref(tracedb.RefRevision, revision))
	t.own(tracedb.KindRun, "foundry", tracedb.Passed, tracedb.Run{Run: run, UID: service.hash("uid", n)[:32], Pipeline: "release", Repository: service.Repository(), Commit: commit, Image: digest, Started: started, Finished: finished,
		Reason: "Succeeded", Message: s.words(100), Tasks: tasks}, repository, of, image, pipeline)
	t.own(tracedb.KindAdmission, "register", tracedb.Allowed, tracedb.Admission{Namespace: service.Namespace(), Resource: workload, Images: []string{digest}, Algorithm: service.Algorithm(), Policy: "register", Reason: s.words(80)}, image, algorithm, space)
	t.own(tracedb.KindDeployment, "flux", tracedb.Passed, tracedb.Deployment{Namespace: service.Namespace(), Object: workload, Revision: revision, Source: "druppie/fleet", Images: []string{digest}, Algorithm: service.Algorithm(), Message: s.words(200)},
		image, algorithm, space, ref(tracedb.RefRevision, revision))
	t.own(tracedb.KindDeployment, "kubelet", tracedb.Running, tracedb.Deployment{Namespace: service.Namespace(), Object: "Pod/" + strings.SplitN(service.Pod(n), "/", 2)[1], Images: []string{digest}, Algorithm: service.Algorithm(), Node: "worker", Message: s.words(100)},
		image, algorithm, space, ref(tracedb.RefPod, service.Pod(n)))
	return t.out, errors.Join(t.errs...)
}

func ref(kind tracedb.RefType, value string) tracedb.Ref {
	return tracedb.Ref{Type: kind, Value: value}
}

// telling is a release being told.
type telling struct {
	s    *storyteller
	at   time.Time
	who  string
	out  []log.Prepared
	errs []error
}

func (t *telling) own(kind tracedb.Kind, actor string, outcome tracedb.Outcome, payload any, refs ...tracedb.Ref) {
	raw, err := json.Marshal(payload)
	t.add(err, log.Prepared{Draft: tracedb.Draft{Kind: kind, Actor: actor, Outcome: outcome, Refs: refs, Payload: raw}})
}

func (t *telling) attested(kind tracedb.Kind, outcome tracedb.Outcome, st attest.Statement, refs ...tracedb.Ref) {
	raw, err := attest.Sign(t.s.signer, st)
	if err != nil {
		t.errs = append(t.errs, err)
		return
	}
	unique, err := attest.Unique(raw)
	t.add(err, log.Prepared{Draft: tracedb.Draft{Kind: kind, Actor: "foundry", Outcome: outcome, Refs: refs, Payload: raw}, Unique: unique})
}

func (t *telling) add(err error, p log.Prepared) {
	p.ID = fmt.Sprintf("%s/%s/%d", p.Kind, t.who, len(t.out))
	p.At = t.at.Add(time.Duration(len(t.out)) * 10 * time.Second)
	if err == nil {
		p.Facts, err = ingest.Facts(tracedb.Entry{Kind: p.Kind}, p.Payload)
	}
	t.errs = append(t.errs, err)
	t.out = append(t.out, p)
}

func (s *storyteller) names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = prefix + strings.ReplaceAll(s.words(16), " ", "_")
	}
	return out
}

func (s *storyteller) components(n int) []attest.Component {
	out := make([]attest.Component, n)
	for i := range out {
		name, version := strings.ReplaceAll(s.words(10), " ", "-"), fmt.Sprintf("%d.%d.%d", i, s.random.Uint64()%20, s.random.Uint64()%20)
		out[i] = attest.Component{Type: "library", Name: name, Version: version, PURL: "pkg:pypi/" + name + "@" + version}
	}
	return out
}

func (s *storyteller) findings(n int) []attest.Finding {
	out := make([]attest.Finding, n)
	for i := range out {
		out[i] = attest.Finding{Rule: fmt.Sprintf("E%d", s.random.Uint64()%900), Level: "note", Message: s.words(60), File: "service/main.py", Line: i}
	}
	return out
}

func (s *storyteller) vulnerabilities(n int) []attest.Vulnerability {
	out := make([]attest.Vulnerability, n)
	for i := range out {
		out[i] = attest.Vulnerability{ID: fmt.Sprintf("CVE-2026-%05d", s.random.Uint64()%100_000), Severity: "low", Package: "libpeil@1.0", Fixed: "1.1"}
	}
	return out
}

// entry is the service's algorithm.yaml.
func (s Service) entry() string {
	return strings.ReplaceAll(entry, "alg-00000000", s.Algorithm())
}

const entry = `schema: druppie.io/algorithm/v1
id: alg-00000000
register:
  standard_version: "1.0"
  name: Peilverwachting
  description_short: Verwacht het waterpeil van morgen.
  organization: Voorbeeldwaterschap
  status: In gebruik
  publication_category: Impactvolle algoritmes
  contact_email: peilbeheer@waterschap.example
  lang: nld
  category: [Natuur en milieu]
  begin_date: "2026-01"
  goal: Gemalen op tijd aanzetten.
  proportionality: Er worden geen persoonsgegevens gebruikt.
  human_intervention: De peilbeheerder beslist.
  risks: Een verkeerde verwachting valt op bij de meting van het uur daarna.
  impacttoetsen: Er is een pre-scan DPIA gedaan.
  source_data: Peilmetingen en neerslag.
  methods_and_models: Lineaire regressie, niet zelflerend.
  provider: Intern ontwikkeld
ai_act_profile:
  type: AI-systeem
  role: [aanbieder, gebruiksverantwoordelijke]
  risk_group: geen hoog-risico AI
  transparency_obligations: geen transparantieverplichting
owners:
  - organization: Voorbeeldwaterschap
    email: peilbeheer@waterschap.example
    role: Eigenaar
`
