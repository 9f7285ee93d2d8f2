package bench

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
	"github.com/druppie/druppie-up/tracedb/register/registertest"
)

// services are those of a large platform; each gets release after release.
const services = 500

// serviceID is the number of one of them: its names are all made from it, so that whoever reads the large log
// knows what to look for.
type serviceID int

// Repository is owner/name.
func (s serviceID) Repository() string { return fmt.Sprintf("druppie/service-%03d", int(s)) }

// Algorithm is the id in its algorithm.yaml.
func (s serviceID) Algorithm() string { return fmt.Sprintf("alg-%08d", int(s)) }

// Namespace is where it runs.
func (s serviceID) Namespace() string { return fmt.Sprintf("tenant-%02d", int(s)%20) }

// Commit of its n-th release.
func (s serviceID) Commit(n int) string { return s.hash("commit", n)[:40] }

// Digest of the image of its n-th release.
func (s serviceID) Digest(n int) string { return "sha256:" + s.hash("image", n) }

// Run is the pipeline run of its n-th release.
func (s serviceID) Run(n int) string { return fmt.Sprintf("foundry/release-%03d-%d", int(s), n) }

// Pod is one that runs the n-th release.
func (s serviceID) Pod(n int) string {
	return fmt.Sprintf("%s/service-%03d-%s", s.Namespace(), int(s), s.hash("pod", n)[:10])
}

func (s serviceID) hash(what string, n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", what, s, n))
	return hex.EncodeToString(sum[:])
}

// generator writes the records of releases, as the foundry and the collectors do.
type generator struct {
	signer crypto.Signer
	random *rand.ChaCha8
}

func newGenerator(seed byte) *generator {
	return &generator{ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), rand.NewChaCha8([32]byte{seed})}
}

// words are n bytes of text that nobody wrote before.
func (g *generator) words(n int) string {
	const syllables = "dijk peil sloot meter kade stuw gemaal polder meting water regen grond "
	var b strings.Builder
	for b.Len() < n {
		r := g.random.Uint64()
		b.WriteString(syllables[r%60 : r%60+uint64(r>>32)%10+1])
	}
	return strings.TrimSpace(b.String()[:n])
}

// release is all that is recorded about one release of a service: eighteen records, and a version of
// its entry in the register with the first and then every tenth.
func (g *generator) release(service serviceID, n int) ([]log.Prepared, error) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n)*24*time.Hour + time.Duration(service)*time.Minute)
	commit, digest, run := service.Commit(n), service.Digest(n), service.Run(n)
	head, revision, session, spec := service.hash("head", n)[:40], service.hash("fleet", n)[:40], "session-"+service.hash("session", n)[:12], fmt.Sprintf("spec-%03d", int(service))
	about := attest.About{Image: names.RegistryHost + "/" + service.Repository(), Digest: digest, Repository: service.Repository(), Commit: commit, Run: run}
	bom, err := json.Marshal(attest.BOM{Format: "CycloneDX", SpecVersion: "1.6", Components: g.components(12)})
	if err != nil {
		return nil, err
	}
	started, finished := at.Add(time.Minute), at.Add(4*time.Minute)
	var tasks []tracedb.Task
	for _, name := range []string{"clone", "check", "test", "build", "scan", "push", "sign", "record", "promote"} {
		tasks = append(tasks, tracedb.Task{Name: name, Outcome: tracedb.Passed, Started: started, Finished: finished})
	}
	workload := fmt.Sprintf("Deployment/service-%03d", int(service))

	b := releaseBuilder{g: g, at: at, who: fmt.Sprintf("%03d/%d", int(service), n)}
	repository, algorithm := ref(tracedb.RefRepository, service.Repository()), ref(tracedb.RefAlgorithm, service.Algorithm())
	of, image, pipeline, space := ref(tracedb.RefCommit, commit), ref(tracedb.RefImage, digest), ref(tracedb.RefRun, run), ref(tracedb.RefNamespace, service.Namespace())
	pull := ref(tracedb.RefPull, fmt.Sprintf("%s#%d", service.Repository(), n+1))
	b.own(tracedb.KindSession, "builder-agent", "", tracedb.Session{Session: session, Spec: spec, AskedBy: "anna", Model: "builder", Tool: "druppie", PromptDigest: "sha256:" + service.hash("prompt", n),
		Repository: service.Repository(), Commit: head}, repository, ref(tracedb.RefSession, session), ref(tracedb.RefSpec, spec), ref(tracedb.RefCommit, head))
	b.own(tracedb.KindCommit, "builder-agent", "", tracedb.Commit{Repository: service.Repository(), Branch: "change", Commit: head, Author: "builder-agent", Pusher: "builder-agent", Message: g.words(300)},
		repository, ref(tracedb.RefCommit, head))
	b.own(tracedb.KindReview, "bram", tracedb.Approved, tracedb.Review{Repository: service.Repository(), Pull: int64(n + 1), Title: g.words(40), Author: "builder-agent", Reviewer: "bram", Reason: g.words(300), Commit: head},
		repository, pull, ref(tracedb.RefCommit, head))
	b.own(tracedb.KindMerge, "bram", "", tracedb.Merge{Repository: service.Repository(), Pull: int64(n + 1), Title: g.words(40), Author: "builder-agent", MergedBy: "bram", Head: head, Commit: commit},
		repository, pull, ref(tracedb.RefCommit, head), of)
	b.attested(tracedb.KindTestResult, tracedb.Passed, attest.TestResult(about, attest.Tests{Suite: "python -m unittest", Passed: g.names("test_", 30)}), repository, of, image, pipeline)
	b.attested(tracedb.KindSARIF, tracedb.Passed, attest.SARIF(about, attest.Analysis{Tool: "ruff", Version: "0.14.6", Result: "PASSED", Results: g.findings(8)}), repository, of, image, pipeline)
	b.attested(tracedb.KindVulns, tracedb.Passed, attest.Vulns(about, attest.Scan{Scanner: "pkg:golang/github.com/aquasecurity/trivy", Version: "0.67.2", DB: "trivy-db", DBVersion: "2", DBUpdated: at,
		Started: started, Finished: finished, Found: g.vulnerabilities(10), Result: "PASSED"}), repository, of, image, pipeline)
	b.attested(tracedb.KindSBOM, "", attest.SBOM(about, bom), repository, of, image, pipeline)
	b.attested(tracedb.KindVerdict, tracedb.Passed, attest.Verdict(about, attest.Gate{Verifier: "https://druppie.io/foundry/gate", Created: finished, Passed: g.names("FOUNDRY_", 6)}), repository, of, image, pipeline)
	b.attested(tracedb.KindProvenance, "", attest.Provenance(about, attest.Build{Builder: "https://druppie.io/foundry", Source: "https://gitea.example/" + service.Repository(), Started: started, Finished: finished,
		Images: map[string]string{"python:3.13-slim": "sha256:" + service.hash("base", 0)}}), repository, of, image, pipeline)
	b.own(tracedb.KindImage, "foundry", "", tracedb.Image{Image: about.Image, Digest: digest, Repository: service.Repository(), Commit: commit, Run: run}, repository, of, image, pipeline)
	b.own(tracedb.KindSignature, "foundry", "", tracedb.Signature{Digest: digest, Key: attest.Fingerprint(g.signer.Public()), Run: run, Commit: commit}, image, pipeline, of)
	if n%10 == 0 {
		b.own(tracedb.KindRegister, "foundry", "", tracedb.RegisterEntry{Repository: service.Repository(), Commit: commit, Source: registertest.Source(service.Algorithm())}, repository, of, algorithm)
	}
	b.own(tracedb.KindPromotion, "foundry", "", tracedb.Promotion{Digest: digest, Repository: service.Repository(), Commit: commit, Fleet: "druppie/fleet", Pull: int64(n), Revision: revision, Tenant: service.Namespace(), Run: run},
		repository, of, image, pipeline, space, ref(tracedb.RefRevision, revision))
	b.own(tracedb.KindRun, "foundry", tracedb.Passed, tracedb.Run{Run: run, UID: service.hash("uid", n)[:32], Pipeline: "release", Repository: service.Repository(), Commit: commit, Image: digest, Started: started, Finished: finished,
		Reason: "Succeeded", Message: g.words(100), Tasks: tasks}, repository, of, image, pipeline)
	b.own(tracedb.KindAdmission, "register", tracedb.Allowed, tracedb.Admission{Namespace: service.Namespace(), Resource: workload, Images: []string{digest}, Algorithm: service.Algorithm(), Policy: "register", Reason: g.words(80)}, image, algorithm, space)
	b.own(tracedb.KindDeployment, "flux", tracedb.Passed, tracedb.Deployment{Namespace: service.Namespace(), Object: workload, Revision: revision, Source: "druppie/fleet", Images: []string{digest}, Algorithm: service.Algorithm(), Message: g.words(200)},
		image, algorithm, space, ref(tracedb.RefRevision, revision))
	b.own(tracedb.KindDeployment, "kubelet", tracedb.Running, tracedb.Deployment{Namespace: service.Namespace(), Object: "Pod/" + strings.SplitN(service.Pod(n), "/", 2)[1], Images: []string{digest}, Algorithm: service.Algorithm(), Node: "worker", Message: g.words(100)},
		image, algorithm, space, ref(tracedb.RefPod, service.Pod(n)))
	return b.out, errors.Join(b.errs...)
}

func ref(kind tracedb.RefType, value string) tracedb.Ref {
	return tracedb.Ref{Type: kind, Value: value}
}

// releaseBuilder collects the records of one release.
type releaseBuilder struct {
	g    *generator
	at   time.Time
	who  string
	out  []log.Prepared
	errs []error
}

func (b *releaseBuilder) own(kind tracedb.Kind, actor string, outcome tracedb.Outcome, payload any, refs ...tracedb.Ref) {
	raw, err := json.Marshal(payload)
	b.add(err, log.Prepared{Draft: tracedb.Draft{Kind: kind, Actor: actor, Outcome: outcome, Refs: refs, Payload: raw}})
}

func (b *releaseBuilder) attested(kind tracedb.Kind, outcome tracedb.Outcome, st attest.Statement, refs ...tracedb.Ref) {
	raw, err := attest.Sign(b.g.signer, st)
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	unique, err := attest.Unique(raw)
	b.add(err, log.Prepared{Draft: tracedb.Draft{Kind: kind, Actor: "foundry", Outcome: outcome, Refs: refs, Payload: raw}, Unique: unique})
}

func (b *releaseBuilder) add(err error, p log.Prepared) {
	p.ID = fmt.Sprintf("%s/%s/%d", p.Kind, b.who, len(b.out))
	p.At = b.at.Add(time.Duration(len(b.out)) * 10 * time.Second)
	if err == nil {
		p.Facts, err = ingest.Facts(tracedb.Entry{Kind: p.Kind}, p.Payload)
	}
	b.errs = append(b.errs, err)
	b.out = append(b.out, p)
}

func (g *generator) names(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = prefix + strings.ReplaceAll(g.words(16), " ", "_")
	}
	return out
}

func (g *generator) components(n int) []attest.Component {
	out := make([]attest.Component, n)
	for i := range out {
		name, version := strings.ReplaceAll(g.words(10), " ", "-"), fmt.Sprintf("%d.%d.%d", i, g.random.Uint64()%20, g.random.Uint64()%20)
		out[i] = attest.Component{Type: "library", Name: name, Version: version, PURL: "pkg:pypi/" + name + "@" + version}
	}
	return out
}

func (g *generator) findings(n int) []attest.Finding {
	out := make([]attest.Finding, n)
	for i := range out {
		out[i] = attest.Finding{Rule: fmt.Sprintf("E%d", g.random.Uint64()%900), Level: "note", Message: g.words(60), File: "service/main.py", Line: i}
	}
	return out
}

func (g *generator) vulnerabilities(n int) []attest.Vulnerability {
	out := make([]attest.Vulnerability, n)
	for i := range out {
		out[i] = attest.Vulnerability{ID: fmt.Sprintf("CVE-2026-%05d", g.random.Uint64()%100_000), Severity: "low", Package: "libpeil@1.0", Fixed: "1.1"}
	}
	return out
}
