package api

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/druppie/druppie-up/tracedb/register"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// exportIn is how long an archive may take to be written, and to be read by whoever asked.
const exportIn = 5 * time.Minute

func (s *service) chain(r *http.Request, what string, opts why.Options) (*why.Chain, error) {
	subject, err := why.Subject(r.PathValue("subject"))
	if err != nil {
		return nil, err
	}
	// To record the read takes as long as to answer, so both are done at once; nothing is shown before.
	recorded := make(chan error, 1)
	go func() { recorded <- s.recordRead(r, what, subject.String()) }()
	chain, err := why.Ask(r.Context(), s.Log, subject, opts)
	return chain, cmp.Or(<-recorded, err)
}

// why is GET /v1/why/{subject}.
func (s *service) why(w http.ResponseWriter, r *http.Request) error {
	q := params(r, "proofs")
	proofs := q.boolean("proofs")
	if q.err != nil {
		return q.err
	}
	chain, err := s.chain(r, "why", why.Options{Proofs: proofs})
	if err != nil {
		return err
	}
	return answer(w, chain)
}

// export is GET /v1/export/{subject}. The archive is written as it is made; if that fails halfway, the
// connection is cut, so that half an archive can't pass for a whole one.
func (s *service) export(w http.ResponseWriter, r *http.Request) error {
	if q := params(r); q.err != nil {
		return q.err
	}
	chain, err := s.chain(r, "export", why.Options{Proofs: true})
	if err != nil {
		return err
	}
	// The server's own limits are for requests and answers of ordinary size.
	until, control := time.Now().Add(exportIn), http.NewResponseController(w)
	if err := errors.Join(supported(control.SetReadDeadline(until)), supported(control.SetWriteDeadline(until))); err != nil {
		return err
	}
	out := &archive{w: w, name: "trace-" + fileName(chain.Subject.Value) + ".zip"}
	if err := export.Write(r.Context(), out, s.Log, chain); err != nil {
		if !out.begun {
			return err
		}
		s.Logger.ErrorContext(r.Context(), "an archive broke off", "subject", chain.Subject.String(), "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// archive is the answer, whose headers are sent with its first byte.
type archive struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

func (a *archive) Write(b []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/zip")
		a.w.Header().Set("Content-Disposition", `attachment; filename="`+a.name+`"`)
		a.w.WriteHeader(http.StatusOK)
	}
	return a.w.Write(b)
}

// fileName is a subject as a part of a file's name on any system.
func fileName(subject string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			return c
		}
		return '-'
	}, subject)
}

// entry is an entry of the register as its reader may see it.
type entry struct {
	catalog.Algorithm
	Repository string `json:"repository,omitempty"` // for auditors
}

// version is a version of an entry.
type version struct {
	entry
	Time time.Time `json:"time"`
}

// viewer is the form in which the reader sees entries. Where the code is and how to reach those who answer
// for it are for auditors, whose reads are recorded; the contact address is meant for everybody. The pages
// show the same.
func (s *service) viewer(r *http.Request, id string) (func(catalog.Algorithm) entry, error) {
	if auth.Require(r.Context(), tracedb.RoleAuditor) != nil {
		return public, nil
	}
	return func(a catalog.Algorithm) entry { return entry{a, a.Repository} }, s.recordRead(r, "register", id)
}

func public(a catalog.Algorithm) entry {
	a.Document.Owners = slices.Clone(a.Document.Owners)
	for i := range a.Document.Owners {
		a.Document.Owners[i].Email = ""
	}
	return entry{Algorithm: a}
}

func (s *service) register(w http.ResponseWriter, r *http.Request) error {
	if q := params(r); q.err != nil {
		return q.err
	}
	view, err := s.viewer(r, "")
	if err != nil {
		return err
	}
	list := []entry{}
	for _, a := range s.Register.Algorithms() {
		list = append(list, view(a))
	}
	return answer(w, map[string][]entry{"algorithms": list})
}

// algorithm is the entry that the path names.
func (s *service) algorithm(r *http.Request) (catalog.Algorithm, error) {
	if q := params(r); q.err != nil {
		return catalog.Algorithm{}, q.err
	}
	id := tracedb.Ref{Type: tracedb.RefAlgorithm, Value: r.PathValue("id")}
	if err := id.Check(); err != nil {
		return catalog.Algorithm{}, tracedb.ErrInvalid.At("id").Says("%v", err)
	}
	a, ok := s.Register.Algorithm(id.Value)
	if !ok {
		return catalog.Algorithm{}, tracedb.ErrNotFound.Says("the register has no %s", id.Value)
	}
	return a, nil
}

// viewed is the entry that the path names, and the form in which the reader sees entries.
func (s *service) viewed(r *http.Request) (catalog.Algorithm, func(catalog.Algorithm) entry, error) {
	a, err := s.algorithm(r)
	if err != nil {
		return a, nil, err
	}
	view, err := s.viewer(r, a.ID)
	return a, view, err
}

func (s *service) entry(w http.ResponseWriter, r *http.Request) error {
	a, view, err := s.viewed(r)
	if err != nil {
		return err
	}
	return answer(w, view(a))
}

func (s *service) versions(w http.ResponseWriter, r *http.Request) error {
	a, view, err := s.viewed(r)
	if err != nil {
		return err
	}
	all, err := s.Register.Versions(r.Context(), a.ID)
	if err != nil {
		return err
	}
	list := make([]version, len(all))
	for i, v := range all {
		list[i] = version{view(v.Algorithm), v.Time}
	}
	return answer(w, map[string][]version{"versions": list})
}

// delivery is the entry in the shape of the Algoritmeregister's delivery API.
func (s *service) delivery(w http.ResponseWriter, r *http.Request) error {
	a, err := s.algorithm(r)
	if err != nil {
		return err
	}
	raw, err := register.Deliver(a.Document)
	if err != nil {
		return err
	}
	return writeBody(w, "application/json", "", raw)
}

// maxAdmissionRequest bounds what the gatekeeper asks about a pod: it has few images, and a name isn't long.
const maxAdmissionRequest = 256 << 10

// admission is POST /v1/admission. A readable question always gets 200, so that "no" can't be taken
// for a failure; whoever gets anything else was given no permission.
func (s *service) admission(w http.ResponseWriter, r *http.Request) error {
	var q catalog.Request
	if err := wire.Read(w, r, maxAdmissionRequest, &q); err != nil {
		return err
	}
	d, err := s.Admission.Decide(r.Context(), q)
	if err != nil {
		return err
	}
	if !q.DryRun {
		// Codes are a fixed set of the catalog's.
		s.metrics.decisions.WithLabelValues(strconv.FormatBool(d.Allowed), d.Code).Inc()
	}
	return answer(w, d)
}
