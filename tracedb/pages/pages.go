// Package pages owns what an auditor sees: server-rendered pages, in Dutch and English, light and dark,
// that show a service's history from idea to container and show the proof. It refuses to show anything but
// the register and the explanation to who isn't an auditor, to load anything from elsewhere, and to
// trust any text that a record holds.
package pages

import (
	"cmp"
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// Ingester records that an auditor read something; *ingest.Ingester is one.
type Ingester interface {
	RecordRead(ctx context.Context, who tracedb.Identity, read tracedb.Read) error
}

// Options is what the pages need.
type Options struct {
	Reader      tracedb.Reader
	Catalog     *catalog.Catalog
	Ingester    Ingester
	VerifierKey string           // of the log's checkpoints, in note's form
	Name        string           // of the platform: druppie
	Logger      *slog.Logger     // nil: silent
	Now         func() time.Time // nil: time.Now
}

// Site is the handler of all pages.
type Site struct {
	o         Options
	texts     map[string]text.Text
	templates map[string]*template.Template // by language and page
	assets    *assets
	mux       http.Handler
}

// New gives the pages, to be mounted at /. They ask auth.From who is reading, so they stand behind
// auth's middleware.
func New(o Options) *Site {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Site{o: o}
	// What is embedded was read by the tests: a fault in it is one of ours, before anything is served.
	s.texts = must(readTexts(textsFile))
	s.assets = must(readAssets())
	s.templates = must(parse(s.texts, s.assets))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.open(s.home))
	mux.HandleFunc("GET /register", s.open(s.register))
	mux.HandleFunc("GET /register/{id}", s.open(s.entry))
	mux.HandleFunc("GET /service/{owner}/{name}", s.closed(s.service))
	mux.HandleFunc("GET /why", s.closed(s.why))
	mux.HandleFunc("GET /record/{seq}", s.closed(s.record))
	mux.HandleFunc("GET /refusals", s.closed(s.refusals))
	mux.HandleFunc("GET /search", s.closed(s.search))
	mux.HandleFunc("GET /verify", s.closed(s.verify))
	mux.HandleFunc("GET /static/", s.static)
	mux.HandleFunc("/", s.open(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			return tracedb.ErrMethod
		}
		return tracedb.ErrNotFound.Says("there is no such page")
	}))
	s.mux = guarded(mux)
	return s
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ServeHTTP answers with a page.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Fail answers an error with a page; the login uses it too.
func (s *Site) Fail(w http.ResponseWriter, r *http.Request, err error) {
	guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, err) })).ServeHTTP(w, r)
}

func (s *Site) who(r *http.Request) tracedb.Identity { return auth.From(r.Context()) }

// report logs the cause of an answer that isn't a success: in the request's own line of the service's
// log, or, where there is none, by itself.
func (s *Site) report(w http.ResponseWriter, r *http.Request, err error) {
	if !wire.Report(w, err) && tracedb.AsError(err).Status >= http.StatusInternalServerError {
		s.o.Logger.ErrorContext(r.Context(), "page", "path", r.URL.Path, "error", err)
	}
}

func (s *Site) words(r *http.Request) words { return words{readPrefs(r).Lang, s.texts} }
