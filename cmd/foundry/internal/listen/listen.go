// Package listen starts a pipeline run where Gitea says that there is something to build. It owns the check of
// an event's signature, and what of an event counts: which repository, which branch, which commit. What starts which
// run is data from Git. It reads no Secret of the cluster but the one that is mounted, calls nobody but the API
// server, and refuses what isn't signed before it looks at it.
package listen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"code.gitea.io/sdk/gitea"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/tekton"
)

// Headers that Gitea sends with an event.
const (
	HeaderEvent     = "X-Gitea-Event"
	HeaderSignature = "X-Gitea-Signature" // HMAC-SHA256 of the body in hex
)

const (
	// maxEvent is the most bytes that an event may have. One that has more is refused, and what it was about the
	// watch finds.
	maxEvent = 1 << 20
	// maxAtOnce is how many events are taken at once: they are read before it is known who sent them, and
	// together must fit the pod's memory.
	maxAtOnce = 32
)

// Listener takes Gitea's events. It is an http.Handler; New makes one.
type Listener struct {
	Options
	places chan struct{}
}

// Options say what a listener needs.
type Options struct {
	Triggers  []Trigger
	Tekton    dynamic.Interface
	Namespace string // that runs are made in
	// Secret is what events are signed with now: it may change while the listener runs.
	Secret func() (string, error)
	Log    func(line string) // tells what was started or refused
}

// New makes a listener.
func New(o Options) *Listener { return &Listener{o, make(chan struct{}, maxAtOnce)} }

// ServeHTTP takes one event: 202 with what was started, 200 where there is nothing to start, 401 where it isn't
// signed, 503 where too many came at once.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	default:
		l.Log("refused: too many events at once")
		http.Error(w, "too many events at once", http.StatusServiceUnavailable)
		return
	}
	body, status, err := l.body(w, r)
	if err != nil {
		l.Log("refused: " + err.Error() + ", from " + r.RemoteAddr)
		http.Error(w, err.Error(), status)
		return
	}
	pushed, err := read(r.Header.Get(HeaderEvent), body)
	if err != nil {
		l.Log("refused: " + err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	did, err := l.handle(r.Context(), pushed)
	if err != nil {
		// What the API server says stays here.
		l.Log("error: " + err.Error())
		http.Error(w, "the run could not be started", http.StatusBadGateway)
		return
	}
	if len(did) == 0 {
		fmt.Fprintln(w, "nothing to start")
		return
	}
	w.WriteHeader(http.StatusAccepted)
	for _, line := range did {
		l.Log(line)
		fmt.Fprintln(w, line)
	}
}

// body reads a signed event; status says how it is refused.
func (l *Listener) body(w http.ResponseWriter, r *http.Request) (body []byte, status int, err error) {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return nil, http.StatusNotFound, errors.New("events are sent to / with POST")
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, http.StatusUnsupportedMediaType, errors.New("an event is application/json")
	}
	signatures := r.Header.Values(HeaderSignature)
	if len(signatures) != 1 || signatures[0] == "" {
		return nil, http.StatusUnauthorized, errors.New("the event isn't signed")
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if errors.As(err, new(*http.MaxBytesError)) {
		return nil, http.StatusRequestEntityTooLarge, err
	}
	if err != nil {
		return nil, http.StatusBadRequest, fmt.Errorf("read the event: %w", err)
	}
	secret, err := l.Secret()
	if err == nil && secret == "" { // the library takes an empty one, and then anybody could sign
		err = errors.New("it is empty")
	}
	if err != nil {
		l.Log("error: the webhook's secret: " + err.Error())
		return nil, http.StatusServiceUnavailable, errors.New("no event can be checked")
	}
	if ok, err := gitea.VerifyWebhookSignature(secret, signatures[0], body); err != nil || !ok {
		return nil, http.StatusUnauthorized, errors.New("the event isn't signed with the webhook's secret")
	}
	return body, 0, nil
}

// push is what counts of an event; of one that says of no branch which commit it has now, nothing.
type push struct {
	repository string // full name
	branch     string
	commit     string // full hash
}

// read reads an event. Gitea adds fields with every release, so unknown ones are no error.
func read(kind string, body []byte) (push, error) {
	var e struct {
		Ref        string `json:"ref"`
		After      string `json:"after"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return push{}, fmt.Errorf("the event isn't the JSON that it should be: %w", err)
	}
	branch, ok := strings.CutPrefix(e.Ref, "refs/heads/")
	if kind != "push" || !ok || !isCommit(e.After) {
		return push{}, nil
	}
	return push{e.Repository.FullName, branch, e.After}, nil
}

// isCommit says whether a text is the full hash of a commit; where a branch was deleted all are zeros.
func isCommit(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != ""
}

// handle starts what a push asks for, and tells what it did.
func (l *Listener) handle(ctx context.Context, p push) (did []string, err error) {
	for _, t := range l.Triggers {
		tenant, known := t.Services[p.repository]
		if !known || t.Branch != p.branch {
			continue
		}
		run := &unstructured.Unstructured{Object: t.run(p, tenant)}
		made, err := l.Tekton.Resource(tekton.PipelineRuns).Namespace(l.Namespace).Create(ctx, run, metav1.CreateOptions{})
		if err != nil {
			return did, fmt.Errorf("start a run for %s of %s: %w", p.commit, p.repository, err)
		}
		did = append(did, fmt.Sprintf("started %s for %s of %s", made.GetName(), p.commit, p.repository))
	}
	return did, nil
}
