// Package api serves the Traceability DB over HTTPS: records in, answers out, the register for
// everybody, the gatekeeper's question, the tree's tiles and a live stream. It owns routes, roles,
// bounds and the order in which they are checked, and openapi.yaml, which describes them; it refuses
// to decide what is evidence, which is for the packages that it asks.
package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// Log is what the API reads; *log.Log is one.
type Log interface {
	tracedb.Reader
	Origin() string
	Size() int64
	Tile(ctx context.Context, t tlog.Tile) ([]byte, error)
	EntryBundle(ctx context.Context, index int64, width int) ([]byte, error)
}

// Ingester takes records, and records reads; *ingest.Ingester is one.
type Ingester interface {
	Append(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error)
	RecordRead(ctx context.Context, who tracedb.Identity, read tracedb.Read) error
}

// Admission decides who may run; *admission.Controller is one.
type Admission interface {
	Decide(ctx context.Context, q catalog.Request) (catalog.Decision, error)
}

// Register is the AI register; *catalog.Catalog is one.
type Register interface {
	Algorithms() []catalog.Algorithm
	Algorithm(id string) (catalog.Algorithm, bool)
	Versions(ctx context.Context, id string) ([]catalog.Version, error)
}

// Options is what the API needs. Handlers that are nil are answered with "not configured".
type Options struct {
	Log       Log
	Ingester  Ingester
	Admission Admission
	Register  Register
	Auth      *auth.Authenticator
	Login     *auth.Login

	VerifierKey string                            // of the log's checkpoints, in note's form
	Keys        func(now time.Time) []tracedb.Key // the keyring; nil: empty

	Gitea http.Handler // /v1/events/gitea
	Pages http.Handler // everything else

	Logger  *slog.Logger          // nil: silent
	Metrics prometheus.Registerer // nil: none
	Done    <-chan struct{}       // closed: streams end, so that the server can
}

// service is the handlers' receiver.
type service struct {
	Options
	limiters limiters
	timeouts timeouts
	metrics  *metrics
}

// timeouts are those that tests shorten.
type timeouts struct {
	// heartbeat keeps proxies from closing a stream in which nothing happens, and shows us a reader
	// who is gone.
	heartbeat time.Duration
	// send is how long one event may take to be sent: a reader who reads slower is disconnected, and comes
	// back with the last id that it saw.
	send time.Duration
	// stream is how long a stream lasts, since who may read it was asked at its beginning alone. Its
	// reader comes back with the last id that it saw, if it still may.
	stream time.Duration
	// body is how long a webhook's body may take to come in.
	body time.Duration
}

// route is one line of the API.
type route struct {
	method, path string
	role         tracedb.Role // that the caller must have
	limiter      *limiter     // how many may be in it at once
	timeout      time.Duration
	serve        func(w http.ResponseWriter, r *http.Request) error
}

// answerIn is how long an answer may take where a route doesn't say otherwise.
const answerIn = 15 * time.Second

// New is the handler of everything that the service serves over HTTPS.
func New(o Options) http.Handler { return newService(o).handler() }

func newService(o Options) *service {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return &service{
		Options: o, limiters: newLimiters(), metrics: newMetrics(o.Metrics),
		timeouts: timeouts{heartbeat: 15 * time.Second, send: 10 * time.Second, stream: 30 * time.Minute, body: 5 * time.Second},
	}
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	byPath := map[string][]route{}
	for _, rt := range s.routes() {
		byPath[rt.path] = append(byPath[rt.path], rt)
	}
	for path, routes := range byPath {
		mux.Handle(path, s.byMethod(path, routes))
	}
	unknown := route{path: "unknown", role: tracedb.RolePublic, serve: func(http.ResponseWriter, *http.Request) error {
		return tracedb.ErrNotFound.Says("there is nothing at this path").WithHint("/v1/openapi.yaml lists what there is")
	}}
	mux.Handle("/v1/", s.handle(unknown))
	mux.Handle("/tile/", s.handle(unknown))
	if s.Pages != nil {
		mux.Handle("/", s.handle(route{path: "pages", role: tracedb.RolePublic, limiter: s.limiters.pages, timeout: answerIn, serve: func(w http.ResponseWriter, r *http.Request) error {
			s.Pages.ServeHTTP(w, r)
			return nil
		}}))
	} else {
		mux.Handle("/", s.handle(unknown))
	}
	return s.observe(headers(requireCleanPath(s.authenticate(mux))))
}

// byMethod chooses among the routes of one path. A method that none of them has is answered like any
// other error, which the mux would do in its own words.
func (s *service) byMethod(path string, routes []route) http.Handler {
	known := map[string]http.Handler{}
	for _, rt := range routes {
		known[rt.method] = s.handle(rt)
		if rt.method == http.MethodGet {
			known[http.MethodHead] = known[rt.method]
		}
	}
	allow := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
	other := s.handle(route{path: path, role: tracedb.RolePublic, serve: func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allow)
		return tracedb.ErrMethod.Says("not with this method").WithHint("allowed: " + allow)
	}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, ok := known[r.Method]
		if !ok {
			h = other
		}
		h.ServeHTTP(w, r)
	})
}

// routes is the API. openapi.yaml describes every line of it, and nothing else.
func (s *service) routes() []route {
	const public, writer, auditor, admission = tracedb.RolePublic, tracedb.RoleWriter, tracedb.RoleAuditor, tracedb.RoleAdmission
	read, write, hooks, stream := s.limiters.read, s.limiters.write, s.limiters.hook, s.limiters.stream
	return []route{
		{"POST", "/v1/records", writer, write, time.Minute, s.append},
		{"GET", "/v1/records", auditor, read, answerIn, s.search},
		{"GET", "/v1/records/{seq}", auditor, read, answerIn, s.record},
		{"GET", "/v1/why/{subject...}", auditor, read, answerIn, s.why},
		{"GET", "/v1/export/{subject...}", auditor, s.limiters.export, exportIn, s.export},
		{"GET", "/v1/register", public, read, answerIn, s.register},
		{"GET", "/v1/register/{id}", public, read, answerIn, s.entry},
		{"GET", "/v1/register/{id}/versions", public, read, answerIn, s.versions},
		{"GET", "/v1/register/{id}/delivery", public, read, answerIn, s.delivery},
		{"POST", "/v1/admission", admission, s.limiters.admission, 5 * time.Second, s.admission},
		{"GET", "/v1/events", auditor, stream, 0, s.events},
		{"POST", "/v1/events/gitea", public, hooks, time.Minute, s.hook(s.Gitea, "Gitea's webhooks")},
		{"GET", "/v1/keys", public, read, answerIn, s.keys},
		{"GET", "/v1/openapi.yaml", public, read, answerIn, s.openapi},
		{"GET", "/checkpoint", public, read, answerIn, s.checkpoint},
		{"GET", "/tile/entries/{index...}", auditor, read, answerIn, s.entries},
		{"GET", "/tile/{level}/{index...}", public, read, answerIn, s.tile},
		// Logins have no limiter, which anonymous callers could hold: package auth bounds what they ask of Gitea.
		{"GET", "/login", public, nil, answerIn, s.login((*auth.Login).Start)},
		{"GET", "/login/callback", public, nil, answerIn, s.login((*auth.Login).Callback)},
		{"POST", "/logout", public, nil, answerIn, s.login((*auth.Login).Logout)},
	}
}

// handle checks the role, acquires from the limiter, bounds the time, and answers an error.
func (s *service) handle(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		infoOf(r.Context()).route = rt.path
		err := func() error {
			if err := auth.Require(r.Context(), rt.role); err != nil {
				return err
			}
			release, err := rt.limiter.acquire(r)
			if err != nil {
				return err
			}
			defer release()
			if rt.timeout > 0 {
				ctx, cancel := context.WithTimeout(r.Context(), rt.timeout)
				defer cancel()
				return rt.serve(w, r.WithContext(ctx))
			}
			return rt.serve(w, r)
		}()
		if err != nil {
			wire.Error(w, timeoutError(r.Context(), err))
		}
	})
}

// hook is a collector's handler, which checks who calls by a signature over the body. Until the body is
// in the caller is anybody, who mustn't hold the limiter by sending it slowly.
func (s *service) hook(h http.Handler, what string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if h == nil {
			return tracedb.ErrUnavailable.Says("%s aren't configured here", what)
		}
		control := http.NewResponseController(w)
		if err := supported(control.SetReadDeadline(time.Now().Add(s.timeouts.body))); err != nil {
			return err
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
		if err != nil {
			return wire.BodyError(err)
		}
		// What comes of the event may take longer.
		if err := supported(control.SetReadDeadline(time.Time{})); err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h.ServeHTTP(w, r)
		return nil
	}
}

// supported is the error of setting a deadline. A writer that isn't a connection's has none.
func supported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func (s *service) login(step func(*auth.Login, http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.Login == nil {
			return tracedb.ErrUnavailable.Says("logging in isn't configured here").WithHint("name oauth, gitea and sessionKeyFile in the configuration")
		}
		step(s.Login, w, r)
		return nil
	}
}

// recordRead records that an auditor reads something, before it is answered: what can't be recorded isn't shown.
func (s *service) recordRead(r *http.Request, what, of string) error {
	return s.Ingester.RecordRead(r.Context(), auth.From(r.Context()), tracedb.Read{What: what, Of: of})
}

// answer answers with a value.
func answer(w http.ResponseWriter, v any) error {
	wire.JSON(w, http.StatusOK, v)
	return nil
}

// writeBody answers with bytes, which may be kept as cache says; empty: not at all. A caller who left needs no answer.
func writeBody(w http.ResponseWriter, contentType, cache string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	if cache != "" {
		w.Header().Set("Cache-Control", cache)
	}
	_, _ = w.Write(body)
	return nil
}
