package tracedb

import (
	"slices"
	"time"
)

// Kind says what a record records.
type Kind string

// The kinds of record.
const (
	KindSpec        Kind = "spec"        // what was asked for
	KindSession     Kind = "session"     // an agent's session
	KindCommit      Kind = "commit"      // a push to a repository
	KindReview      Kind = "review"      // approval, rejection or comment, with its reason
	KindMerge       Kind = "merge"       // a pull request came into main
	KindRun         Kind = "run"         // a pipeline run, as it ended
	KindProvenance  Kind = "provenance"  // SLSA provenance v1: from which source the image was built
	KindTestResult  Kind = "test-result" // in-toto test-result
	KindVulns       Kind = "vulns"       // in-toto vulns: the CVEs that were known
	KindSARIF       Kind = "sarif"       // summary of static analysis
	KindSBOM        Kind = "sbom"        // CycloneDX
	KindVerdict     Kind = "verdict"     // in-toto simple verification result: what a gate decided
	KindImage       Kind = "image"       // an image was pushed
	KindSignature   Kind = "signature"   // an image was signed
	KindPromotion   Kind = "promotion"   // a digest was proposed to or accepted in the fleet
	KindAdmission   Kind = "admission"   // let in or refused at admission
	KindDeployment  Kind = "deployment"  // applied, running, gone
	KindDrift       Kind = "drift"       // something isn't as it should be, or wasn't: what runs as Git says, main protected
	KindRequest     Kind = "request"     // what somebody other than the platform asked of the Kubernetes API, or a pod of the network, in vain
	KindIncident    Kind = "incident"    // a running service went wrong
	KindRepair      Kind = "repair"      // what was done about it
	KindRegister    Kind = "register"    // a version of an entry in the AI register
	KindException   Kind = "exception"   // a CISO lets something in for a time
	KindConformance Kind = "conformance" // what a run of the conformance suite showed of the platform's controls
	KindKey         Kind = "key"         // a key joined or left the keyring
	KindRefusal     Kind = "refusal"     // the log itself refused a record
	KindRead        Kind = "read"        // an auditor read something
	KindDisposal    Kind = "disposal"    // payloads were disposed of after their term
)

// Outcome is how what is recorded ended.
type Outcome string

// Outcomes.
const (
	Passed    Outcome = "passed"
	Failed    Outcome = "failed"
	Approved  Outcome = "approved"
	Rejected  Outcome = "rejected"
	Commented Outcome = "commented"
	Allowed   Outcome = "allowed"
	Denied    Outcome = "denied"
	Running   Outcome = "running"
	Gone      Outcome = "gone"
	Undone    Outcome = "undone"
)

// Bad says whether it is a failure or a refusal.
func (o Outcome) Bad() bool { return o == Failed || o == Denied || o == Rejected }

// KindInfo is what is fixed about a kind.
type KindInfo struct {
	Kind Kind
	// Step of the platform's flow (F0 to F8) that it is evidence of, and the controls (C1 to C6).
	Step     string
	Controls []string
	// Predicate is the in-toto predicate type that the payload, a DSSE envelope, must carry; empty
	// for payloads of our own.
	Predicate []string
	// Term is the retention of the payload: how long it is kept; 0: for ever.
	Term time.Duration
	// Internal kinds are written by the service itself, never by a client.
	Internal bool
	Outcomes []Outcome
}

// Term is how long payloads are kept where no other term holds: seven years, which have two leap days at
// most.
const Term = (7*365 + 2) * 24 * time.Hour

var kinds = []KindInfo{
	{Kind: KindSpec, Step: "F0", Term: Term},
	{Kind: KindSession, Step: "F0", Term: Term},
	{Kind: KindCommit, Step: "F1", Controls: []string{"C1"}, Term: Term},
	{Kind: KindReview, Step: "F1", Controls: []string{"C1"}, Term: Term, Outcomes: []Outcome{Approved, Rejected, Commented, Undone}},
	{Kind: KindMerge, Step: "F1", Controls: []string{"C1"}, Term: Term},
	{Kind: KindRun, Step: "F2", Controls: []string{"C6"}, Term: Term, Outcomes: []Outcome{Passed, Failed}},
	{Kind: KindTestResult, Step: "F3b", Controls: []string{"C2"}, Predicate: []string{"https://in-toto.io/attestation/test-result/v0.1"}, Term: Term, Outcomes: []Outcome{Passed, Failed}},
	{Kind: KindSARIF, Step: "F3b", Controls: []string{"C2"}, Predicate: []string{"https://druppie.io/attestation/sarif-summary/v1"}, Term: Term, Outcomes: []Outcome{Passed, Failed}},
	{Kind: KindVulns, Step: "F3b", Controls: []string{"C2"}, Predicate: []string{"https://in-toto.io/attestation/vulns/v0.2", "https://in-toto.io/attestation/vulns/v0.1"}, Term: Term, Outcomes: []Outcome{Passed, Failed}},
	{Kind: KindSBOM, Step: "F3b", Controls: []string{"C2"}, Predicate: []string{"https://cyclonedx.org/bom"}, Term: Term},
	{Kind: KindVerdict, Step: "F3b", Controls: []string{"C2"}, Predicate: []string{"https://in-toto.io/attestation/svr/v0.1"}, Term: Term, Outcomes: []Outcome{Passed, Failed}},
	{Kind: KindProvenance, Step: "F3a", Controls: []string{"C3", "C6"}, Predicate: []string{"https://slsa.dev/provenance/v1"}},
	{Kind: KindImage, Step: "F3a", Controls: []string{"C3"}, Term: Term},
	{Kind: KindSignature, Step: "F3a", Controls: []string{"C3"}, Term: Term},
	{Kind: KindRegister, Step: "F3c", Controls: []string{"C5"}},
	{Kind: KindException, Step: "F3c", Controls: []string{"C5"}},
	{Kind: KindPromotion, Step: "F4", Controls: []string{"C4"}, Term: Term},
	{Kind: KindDeployment, Step: "F5", Controls: []string{"C4"}, Term: Term, Outcomes: []Outcome{Passed, Failed, Running, Gone}},
	{Kind: KindAdmission, Step: "F6", Controls: []string{"C5"}, Term: Term, Outcomes: []Outcome{Allowed, Denied}},
	{Kind: KindDrift, Step: "F5", Controls: []string{"C4"}, Term: Term, Outcomes: []Outcome{Failed, Undone}},
	{Kind: KindRequest, Step: "F8", Term: Term, Outcomes: []Outcome{Allowed, Denied}},
	{Kind: KindIncident, Step: "F8", Term: Term},
	{Kind: KindRepair, Step: "F8", Term: Term},
	{Kind: KindConformance, Predicate: []string{"https://druppie.io/attestation/conformance/v1"}, Term: Term, Outcomes: []Outcome{Passed, Failed}},
	{Kind: KindKey, Internal: true},
	{Kind: KindRefusal, Internal: true, Term: Term, Outcomes: []Outcome{Denied}},
	{Kind: KindRead, Internal: true, Term: Term},
	{Kind: KindDisposal, Internal: true},
}

// Kinds lists what is fixed about every kind, in the order of the flow.
func Kinds() []KindInfo { return slices.Clone(kinds) }

// Outcomes lists every outcome that a kind of record may have, in the order of the flow.
func Outcomes() []Outcome {
	var out []Outcome
	for _, k := range kinds {
		for _, o := range k.Outcomes {
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}

// Info says what is fixed about k; false for a kind that doesn't exist.
func (k Kind) Info() (KindInfo, bool) {
	i := slices.IndexFunc(kinds, func(i KindInfo) bool { return i.Kind == k })
	if i < 0 {
		return KindInfo{}, false
	}
	return kinds[i], true
}
