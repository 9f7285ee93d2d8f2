package tracedb

import (
	"strings"
	"time"
	"unicode/utf8"
)

// The payloads of the kinds that aren't attestations. Texts come from people: they are data, never
// markup. Hashes are lower-case hex; digests are "sha256:" and hex.
//
// The tag want says what a field must be, with ? what it must be if it is there: a name, a text, or a value of a type
// of ref. What it names the record is about, except with like, which wants the value's shape alone; with maybe it is
// a name that makes a ref if it has the shape. Package ingest checks that.

// Spec is what was requested (F0).
type Spec struct {
	Spec        string `json:"spec" want:"spec"` // its id
	Title       string `json:"title" want:"name"`
	RequestedBy string `json:"requested_by" want:"name"`
	Text        string `json:"text,omitempty" want:"text?"`
	Repository  string `json:"repository,omitempty" want:"repository?"`
}

// Session is one session of an agent (F0).
type Session struct {
	Session      string `json:"session" want:"session"`
	Spec         string `json:"spec,omitempty" want:"spec?"`
	AskedBy      string `json:"asked_by" want:"name"`
	Model        string `json:"model" want:"name"`
	Tool         string `json:"tool" want:"name"`
	PromptDigest string `json:"prompt_digest" want:"like image"` // never the prompt itself
	Repository   string `json:"repository,omitempty" want:"repository?"`
	Commit       string `json:"commit,omitempty" want:"commit?"`
}

// Commit is a push to a repository (F1).
type Commit struct {
	Repository string `json:"repository" want:"repository"`
	Branch     string `json:"branch" want:"name"`
	Commit     string `json:"commit" want:"commit"`
	Before     string `json:"before,omitempty" want:"like commit?"`
	Author     string `json:"author" want:"name"`
	Pusher     string `json:"pusher" want:"name"`
	Message    string `json:"message" want:"text?"`
	// Others are the other commits of the push, newest first.
	Others []string `json:"others,omitempty"`
}

// Review is somebody's review of a pull request (C1).
type Review struct {
	Repository string `json:"repository" want:"repository"`
	Pull       int64  `json:"pull"`
	Title      string `json:"title,omitempty" want:"name?"`
	Author     string `json:"author" want:"name"`
	Reviewer   string `json:"reviewer" want:"name"`
	Reason     string `json:"reason" want:"text?"`
	Commit     string `json:"commit" want:"commit"` // head that was reviewed
}

// Merge is a pull request that came into main.
type Merge struct {
	Repository string `json:"repository" want:"repository"`
	Pull       int64  `json:"pull"`
	Title      string `json:"title,omitempty" want:"name?"`
	Author     string `json:"author" want:"name"`
	MergedBy   string `json:"merged_by" want:"name"`
	Head       string `json:"head" want:"commit"`   // commit that was reviewed
	Commit     string `json:"commit" want:"commit"` // commit on main
}

// Run is a pipeline run as it ended (F2, F3).
type Run struct {
	Run        string    `json:"run" want:"run"` // namespace/name
	UID        string    `json:"uid" want:"name"`
	Pipeline   string    `json:"pipeline" want:"name"`
	Repository string    `json:"repository" want:"repository?"`
	Commit     string    `json:"commit" want:"commit?"`
	Image      string    `json:"image,omitempty" want:"image?"` // digest, if one was pushed
	Started    time.Time `json:"started,omitzero"`
	Finished   time.Time `json:"finished,omitzero"`
	Reason     string    `json:"reason" want:"name"`
	Message    string    `json:"message,omitempty" want:"text?"`
	Tasks      []Task    `json:"tasks"`
}

// Task is one task of a run.
type Task struct {
	Name     string    `json:"name" want:"name"`
	Outcome  Outcome   `json:"outcome"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Message  string    `json:"message,omitempty" want:"text?"`
}

// Image is an image that was pushed (F3a).
type Image struct {
	Image      string `json:"image" want:"name"` // name without digest
	Digest     string `json:"digest" want:"image"`
	Repository string `json:"repository" want:"repository"`
	Commit     string `json:"commit" want:"commit"`
	Run        string `json:"run,omitempty" want:"run?"`
}

// Signature is an image's signature (C3).
type Signature struct {
	Digest string `json:"digest" want:"image"`
	Key    string `json:"key" want:"key"` // SHA256:… fingerprint
	Run    string `json:"run,omitempty" want:"run?"`
	Commit string `json:"commit,omitempty" want:"commit?"`
}

// Promotion is a digest on its way into the fleet (F4).
type Promotion struct {
	Digest     string `json:"digest" want:"image"`
	Repository string `json:"repository" want:"repository"`
	Commit     string `json:"commit" want:"commit"`
	Fleet      string `json:"fleet" want:"like repository"`        // repository that Flux follows
	Pull       int64  `json:"pull,omitempty"`                      // in the fleet
	Revision   string `json:"revision,omitempty" want:"revision?"` // commit of the fleet's main that holds it
	Tenant     string `json:"tenant" want:"namespace"`
	Run        string `json:"run,omitempty" want:"run?"`
}

// Admission is the cluster's admission decision (F6).
type Admission struct {
	Namespace string   `json:"namespace" want:"namespace"`
	Resource  string   `json:"resource,omitempty"` // Kind/name that asked
	Images    []string `json:"images"`             // digests
	Algorithm string   `json:"algorithm,omitempty" want:"maybe algorithm"`
	User      string   `json:"user,omitempty" want:"name?"` // who asked the Kubernetes API, as its audit log says
	Policy    string   `json:"policy" want:"name"`          // who decided: register, or a Kyverno policy
	Reason    string   `json:"reason" want:"text"`
	Remedy    string   `json:"remedy,omitempty" want:"text?"`
	ReasonNL  string   `json:"reason_nl,omitempty" want:"text?"` // where the decision is in Dutch as well
	RemedyNL  string   `json:"remedy_nl,omitempty" want:"text?"`
	Exception int64    `json:"exception,omitempty"` // seq of the exception that let it in
}

// Deployment is what became of a change in the cluster (F5, F7).
type Deployment struct {
	Namespace string   `json:"namespace"`
	Object    string   `json:"object"`                                   // Kind/name
	Revision  string   `json:"revision,omitempty" want:"revision?"`      // of the fleet or platform repository
	Source    string   `json:"source,omitempty" want:"like repository?"` // that repository
	Images    []string `json:"images,omitempty"`
	Algorithm string   `json:"algorithm,omitempty" want:"maybe algorithm"`
	Node      string   `json:"node,omitempty" want:"name?"`
	Reason    string   `json:"reason,omitempty" want:"name?"`
	Message   string   `json:"message,omitempty" want:"text?"`
}

// Drift is a difference between Git and what runs (C4).
type Drift struct {
	Namespace string `json:"namespace"`
	Object    string `json:"object"`
	Want      string `json:"want" want:"text?"`
	Got       string `json:"got" want:"text?"`
	By        string `json:"by,omitempty" want:"name?"` // field manager that changed it
	Revision  string `json:"revision,omitempty" want:"revision?"`
	Message   string `json:"message,omitempty" want:"text?"`
}

// Request is what somebody other than the platform asked of the Kubernetes API, as its audit log says: a way into a pod,
// a change by hand, or what they may not (F8); or a connection that a pod was refused, with the verb VerbConnect: user
// is who tried it, resource the other side, and name the port.
type Request struct {
	User      string `json:"user" want:"name"`
	As        string `json:"as,omitempty" want:"name?"` // whom they acted as
	Verb      string `json:"verb" want:"name"`
	Resource  string `json:"resource" want:"name"` // pods/exec, deployments.apps
	Namespace string `json:"namespace,omitempty" want:"namespace?"`
	Name      string `json:"name,omitempty" want:"name?"`
	Code      int    `json:"code"` // of the answer, as HTTP has it
	Reason    string `json:"reason,omitempty" want:"text?"`
	Client    string `json:"client,omitempty" want:"name?"` // the program, as it calls itself
}

// VerbConnect is the verb of a Request that asked the network instead of the API.
const VerbConnect = "connect to"

// Incident is a running service that went wrong (F8).
type Incident struct {
	Namespace string   `json:"namespace"`
	Object    string   `json:"object"`
	Images    []string `json:"images,omitempty"`
	Algorithm string   `json:"algorithm,omitempty" want:"maybe algorithm"`
	Summary   string   `json:"summary" want:"name"`
	Detail    string   `json:"detail,omitempty" want:"text?"`
}

// Repair is what was done about an incident (F8).
type Repair struct {
	Incident   int64  `json:"incident"` // seq
	Repository string `json:"repository,omitempty" want:"repository?"`
	Commit     string `json:"commit,omitempty" want:"commit?"`
	Session    string `json:"session,omitempty" want:"session?"`
	Summary    string `json:"summary" want:"name"`
}

// RegisterEntry is a version of an algorithm's entry (F6.2): algorithm.yaml as it is at a commit.
type RegisterEntry struct {
	Repository string `json:"repository" want:"repository"`
	Commit     string `json:"commit" want:"commit"`
	Source     string `json:"source"` // the file's text
}

// Exception is a CISO's permission for something that a rule refuses.
type Exception struct {
	Algorithm string    `json:"algorithm" want:"algorithm"`
	Rule      string    `json:"rule"`                          // which refusal is lifted: status
	Image     string    `json:"image,omitempty" want:"image?"` // only for this digest
	Until     time.Time `json:"until"`                         // it ends by itself
	Reason    string    `json:"reason" want:"text"`            //
	GrantedBy string    `json:"granted_by" want:"name"`        // the CISO
	Ticket    string    `json:"ticket,omitempty" want:"name?"` // where it was decided
}

// Key is a key that attestations may be signed with.
type Key struct {
	Name        string `json:"name" want:"name"`
	Fingerprint string `json:"fingerprint" want:"key"` // SHA256:… of the public key's DER
	PEM         string `json:"pem,omitempty" want:"text?"`
	Kinds       []Kind `json:"kinds,omitempty"` // what it may sign; empty: everything
	Retired     bool   `json:"retired,omitempty"`
}

// Refusal is a record that the log didn't take.
type Refusal struct {
	ID      string `json:"id,omitempty" want:"name?"`
	Kind    Kind   `json:"kind,omitempty"`
	Payload string `json:"payload,omitempty" want:"like image?"` // digest of what was offered
	Code    string `json:"code" want:"name"`
	Reason  string `json:"reason" want:"text"`
}

// Read is an auditor's look at the log.
type Read struct {
	What string `json:"what" want:"name"` // why, search, export, payload, page
	Of   string `json:"of" want:"name?"`
}

// Disposal is the end of payloads whose term was over.
type Disposal struct {
	Kind   Kind      `json:"kind"`
	Before time.Time `json:"before"` // log time
	Seqs   []int64   `json:"seqs"`
	Reason string    `json:"reason" want:"text"`
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
