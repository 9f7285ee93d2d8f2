package tracedb

import (
	"strings"
	"time"
	"unicode/utf8"
)

// The payloads of the kinds that aren't attestations. Texts come from people: they are data, never
// markup. Hashes are lower-case hex; digests are "sha256:" and hex.

// Spec is what somebody asked for (F0).
type Spec struct {
	Spec        string `json:"spec"` // its id
	Title       string `json:"title"`
	RequestedBy string `json:"requested_by"`
	Text        string `json:"text,omitempty"`
	Repository  string `json:"repository,omitempty"`
}

// Session is one session of an agent (F0).
type Session struct {
	Session      string `json:"session"`
	Spec         string `json:"spec,omitempty"`
	AskedBy      string `json:"asked_by"`
	Model        string `json:"model"`
	Tool         string `json:"tool"`
	PromptDigest string `json:"prompt_digest"` // never the prompt itself
	Repository   string `json:"repository,omitempty"`
	Commit       string `json:"commit,omitempty"`
}

// Commit is a push to a repository (F1).
type Commit struct {
	Repository string `json:"repository"`
	Branch     string `json:"branch"`
	Commit     string `json:"commit"`
	Before     string `json:"before,omitempty"`
	Author     string `json:"author"`
	Pusher     string `json:"pusher"`
	Message    string `json:"message"`
	// Others are the other commits of the push, newest first.
	Others []string `json:"others,omitempty"`
}

// Review is somebody's judgement of a pull request (C1).
type Review struct {
	Repository string `json:"repository"`
	Pull       int64  `json:"pull"`
	Title      string `json:"title,omitempty"`
	Author     string `json:"author"`
	Reviewer   string `json:"reviewer"`
	Reason     string `json:"reason"`
	Commit     string `json:"commit"` // head that was judged
}

// Merge is a pull request that came into main.
type Merge struct {
	Repository string `json:"repository"`
	Pull       int64  `json:"pull"`
	Title      string `json:"title,omitempty"`
	Author     string `json:"author"`
	MergedBy   string `json:"merged_by"`
	Head       string `json:"head"`   // commit that was reviewed
	Commit     string `json:"commit"` // commit on main
}

// Run is a pipeline run as it ended (F2, F3).
type Run struct {
	Run        string    `json:"run"` // namespace/name
	UID        string    `json:"uid"`
	Pipeline   string    `json:"pipeline"`
	Repository string    `json:"repository"`
	Commit     string    `json:"commit"`
	Image      string    `json:"image,omitempty"` // digest, if one was pushed
	Started    time.Time `json:"started,omitzero"`
	Finished   time.Time `json:"finished,omitzero"`
	Reason     string    `json:"reason"`
	Message    string    `json:"message,omitempty"`
	Tasks      []Task    `json:"tasks"`
}

// Task is one task of a run.
type Task struct {
	Name     string    `json:"name"`
	Outcome  Outcome   `json:"outcome"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Message  string    `json:"message,omitempty"`
}

// Image is an image that was pushed (F3a).
type Image struct {
	Image      string `json:"image"` // name without digest
	Digest     string `json:"digest"`
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	Run        string `json:"run,omitempty"`
}

// Signature is an image's signature (C3).
type Signature struct {
	Digest string `json:"digest"`
	Key    string `json:"key"` // SHA256:… fingerprint
	Run    string `json:"run,omitempty"`
	Commit string `json:"commit,omitempty"`
}

// Promotion is a digest on its way into the fleet (F4).
type Promotion struct {
	Digest     string `json:"digest"`
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	Fleet      string `json:"fleet"`              // repository that Flux follows
	Pull       int64  `json:"pull,omitempty"`     // in the fleet
	Revision   string `json:"revision,omitempty"` // commit of the fleet's main that holds it
	Tenant     string `json:"tenant"`
	Run        string `json:"run,omitempty"`
}

// Admission is the cluster's admission decision (F6).
type Admission struct {
	Namespace string   `json:"namespace"`
	Resource  string   `json:"resource,omitempty"` // Kind/name that asked
	Images    []string `json:"images"`             // digests
	Algorithm string   `json:"algorithm,omitempty"`
	Policy    string   `json:"policy"` // who decided: register, or a Kyverno policy
	Reason    string   `json:"reason"`
	Remedy    string   `json:"remedy,omitempty"`
	ReasonNL  string   `json:"reason_nl,omitempty"` // where whoever decided says it in Dutch as well
	RemedyNL  string   `json:"remedy_nl,omitempty"`
	Exception int64    `json:"exception,omitempty"` // seq of the exception that let it in
}

// Deployment is what became of a change in the cluster (F5, F7).
type Deployment struct {
	Namespace string   `json:"namespace"`
	Object    string   `json:"object"`             // Kind/name
	Revision  string   `json:"revision,omitempty"` // of the fleet or platform repository
	Source    string   `json:"source,omitempty"`   // that repository
	Images    []string `json:"images,omitempty"`
	Algorithm string   `json:"algorithm,omitempty"`
	Node      string   `json:"node,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Message   string   `json:"message,omitempty"`
}

// Drift is a difference between Git and what runs (C4).
type Drift struct {
	Namespace string `json:"namespace"`
	Object    string `json:"object"`
	Want      string `json:"want"`
	Got       string `json:"got"`
	By        string `json:"by,omitempty"` // field manager that changed it
	Revision  string `json:"revision,omitempty"`
	Message   string `json:"message,omitempty"`
}

// Incident is a running service that went wrong (F8).
type Incident struct {
	Namespace string   `json:"namespace"`
	Object    string   `json:"object"`
	Images    []string `json:"images,omitempty"`
	Algorithm string   `json:"algorithm,omitempty"`
	Summary   string   `json:"summary"`
	Detail    string   `json:"detail,omitempty"`
}

// Repair is what was done about an incident (F8).
type Repair struct {
	Incident   int64  `json:"incident"` // seq
	Repository string `json:"repository,omitempty"`
	Commit     string `json:"commit,omitempty"`
	Session    string `json:"session,omitempty"`
	Summary    string `json:"summary"`
}

// RegisterEntry is a version of an algorithm's entry (F6.2): algorithm.yaml as it stood at a commit.
type RegisterEntry struct {
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	Source     string `json:"source"` // the file's text
}

// Exception is a CISO's leave for something that a rule refuses.
type Exception struct {
	Algorithm string    `json:"algorithm"`
	Rule      string    `json:"rule"`             // which refusal is lifted: status
	Image     string    `json:"image,omitempty"`  // only for this digest
	Until     time.Time `json:"until"`            // it ends by itself
	Reason    string    `json:"reason"`           //
	GrantedBy string    `json:"granted_by"`       // the CISO
	Ticket    string    `json:"ticket,omitempty"` // where it was decided
}

// Key is a key that attestations may be signed with.
type Key struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"` // SHA256:… of the public key's DER
	PEM         string `json:"pem,omitempty"`
	Kinds       []Kind `json:"kinds,omitempty"` // what it may sign; empty: everything
	Retired     bool   `json:"retired,omitempty"`
}

// Refusal is a record that the log didn't take.
type Refusal struct {
	ID      string `json:"id,omitempty"`
	Kind    Kind   `json:"kind,omitempty"`
	Payload string `json:"payload,omitempty"` // digest of what was offered
	Code    string `json:"code"`
	Reason  string `json:"reason"`
}

// Read is an auditor's look at the log.
type Read struct {
	What string `json:"what"` // why, search, export, payload, page
	Of   string `json:"of"`
}

// Disposal is the end of payloads whose term was over.
type Disposal struct {
	Kind   Kind      `json:"kind"`
	Before time.Time `json:"before"` // log time
	Seqs   []int64   `json:"seqs"`
	Reason string    `json:"reason"`
}

// Clip makes a text from outside fit into a payload: valid, of at most n bytes, in whole characters.
func Clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= n {
		return s
	}
	const more = "…"
	cut := max(n-len(more), 0)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}
