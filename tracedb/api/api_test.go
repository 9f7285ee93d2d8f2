package api

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/admission"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/collect"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/pages"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// Tokens of the world's cluster.
const (
	writerToken    = "token-of-the-record-step"
	auditorToken   = "token-of-the-auditor"
	nobodyToken    = "token-of-a-tenant"
	foreignToken   = "token-for-another-audience"
	admissionToken = "token-of-the-door"
	writerName     = "system:serviceaccount:foundry:step-record"
	auditorName    = "system:serviceaccount:druppie-system:auditor"
	hookSecret     = "secret-of-the-webhooks"
)

// world is the API over a real log, ingester and catalog, with a story in it.
type world struct {
	t       *testing.T
	log     *log.Log
	records *brittle
	now     func() time.Time // of what is recorded
	catalog *catalog.Catalog
	signer  crypto.Signer
	service *service
	api     http.Handler
	out     *bytes.Buffer // what the service logs
	spec    *openapi3.T
	done    chan struct{}

	mu   sync.Mutex
	seen map[string]bool // documented answers: method, path, status
}

// brittle fails when it is told to.
type brittle struct {
	*ingest.Ingester
	decides *admission.Controller
	mu      sync.Mutex
	err     error
}

func (b *brittle) fail(err error) { b.mu.Lock(); defer b.mu.Unlock(); b.err = err }
func (b *brittle) failure() error { b.mu.Lock(); defer b.mu.Unlock(); return b.err }

func (b *brittle) Append(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	if err := b.failure(); err != nil {
		return nil, err
	}
	return b.Ingester.Append(ctx, who, drafts)
}

func (b *brittle) RecordRead(ctx context.Context, who tracedb.Identity, read tracedb.Read) error {
	if err := b.failure(); err != nil {
		return err
	}
	return b.Ingester.RecordRead(ctx, who, read)
}

func (b *brittle) Decide(ctx context.Context, q catalog.Request) (catalog.Decision, error) {
	if err := b.failure(); err != nil {
		return catalog.Decision{}, err
	}
	return b.decides.Decide(ctx, q)
}

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	return newWorldOn(t, logtest.New(t), change...)
}

// newWorldOn is wired as cmd/tracedb does it.
func newWorldOn(t *testing.T, l *log.Log, change ...func(*Options)) *world {
	t.Helper()
	// The story's log holds the story's key; writers sign with one of their own.
	whytest.Fill(t, l)
	file := filepath.Join(t.TempDir(), "foundry.pub")
	signer, err := apitest.NewKey(file)
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := attest.LoadKeyring([]attest.KeyFile{{Name: "foundry", File: file, Kinds: []tracedb.Kind{"*"}}})
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.Open(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, log: l, catalog: cat, signer: signer, out: &bytes.Buffer{}, seen: map[string]bool{}, done: make(chan struct{}),
		records: &brittle{}, now: time.Now,
	}
	now := func() time.Time { return w.now() }
	w.records.Ingester = ingest.New(ingest.Options{Log: l, Keyring: keyring, Catalog: cat, Now: now})
	w.records.decides = admission.New(admission.Options{Catalog: cat, Records: w.records.Ingester, Now: now})
	cluster := authtest.NewCluster(t, map[string]authtest.Token{
		writerToken:  {User: writerName, Audiences: []string{"tracedb"}},
		auditorToken: {User: auditorName, Audiences: []string{"tracedb"}},
		nobodyToken:  {User: "system:serviceaccount:drones:default", Audiences: []string{"tracedb"}},
		foreignToken: {User: writerName, Audiences: []string{"https://kubernetes.default.svc"}},
	})
	client, err := dynamic.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	reviewer, err := auth.NewReviewer(client, "tracedb", []auth.Grant{
		{Subject: writerName, Roles: []tracedb.Role{tracedb.RoleWriter}, Kinds: []tracedb.Kind{
			"provenance", "test-result", "vulns", "verdict", "image", "signature", "promotion", "register",
		}},
		{Subject: auditorName, Roles: []tracedb.Role{tracedb.RoleAuditor}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	site := pages.New(pages.Options{Reader: l, Catalog: cat, Ingester: w.records, VerifierKey: logtest.VerifierKey(), Name: "test"})
	login, sessions := w.login(site.Fail)
	o := Options{
		Log: l, Ingester: w.records, Admission: w.records, Register: cat, VerifierKey: logtest.VerifierKey(), Keys: keyring.Keys,
		Auth: auth.New(auth.Options{Tokens: reviewer, AdmissionToken: w.secret(admissionToken), Sessions: sessions}), Login: login,
		Gitea:   collect.Gitea([]byte(hookSecret), collect.Repositories{}, nil, collect.Options{Sink: w.records.Append, Log: l}),
		Pages:   site,
		Logger:  slog.New(slog.NewJSONHandler(w.out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: prometheus.NewRegistry(), Done: w.done,
	}
	for _, c := range change {
		c(&o)
	}
	w.service = newService(o)
	w.api = w.service.handler()
	w.spec = readSpec(t)
	return w
}

func (w *world) secret(text string) *auth.File {
	w.t.Helper()
	f, err := auth.NewFile(write(w.t, text))
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) login(fail func(http.ResponseWriter, *http.Request, error)) (*auth.Login, *auth.Sessions) {
	w.t.Helper()
	const callback = "https://trace.test/login/callback"
	g := authtest.NewGitea(w.t, callback)
	sessions, err := auth.NewSessions(w.secret(strings.Repeat("k", 43)), []string{"auditor"}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	login, err := auth.NewLogin(auth.LoginOptions{
		PublicURL: g.URL, URL: g.URL, RedirectURL: callback, HTTP: g.Client, Sessions: sessions,
		ClientID: w.secret(g.ClientID), ClientSecret: w.secret(g.ClientSecret), Fail: fail,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return login, sessions
}

func readSpec(t testing.TB) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(t.Context()); err != nil {
		t.Fatalf("openapi.yaml: %v", err)
	}
	return spec
}

// request is one request; what it leaves out isn't sent.
type request struct {
	method, path, token string
	body                string
	header              http.Header
}

func (q request) http(ctx context.Context) *http.Request {
	r := httptest.NewRequestWithContext(ctx, q.method, "https://trace.test"+q.path, strings.NewReader(q.body))
	if q.token != "" {
		r.Header.Set("Authorization", "Bearer "+q.token)
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	return r
}

// do sends a request, and holds the answer against openapi.yaml.
func (w *world) do(t testing.TB, q request) *httptest.ResponseRecorder {
	t.Helper()
	resp := httptest.NewRecorder()
	w.api.ServeHTTP(resp, q.http(t.Context()))
	w.hold(t, q, resp)
	return resp
}

// anyPath are the errors that any path may answer, as the description says at its beginning.
var anyPath = []int{400, 401, 405, 429, 500, 503}

// hold checks one answer: a documented status, the documented type and shape; and of what succeeded, also
// that the request was as documented.
func (w *world) hold(t testing.TB, q request, resp *httptest.ResponseRecorder) {
	t.Helper()
	r := q.http(t.Context())
	route, params := w.find(r)
	_, notAnError := readError(resp.Body.Bytes())
	if route == nil {
		// What isn't in the description is answered like every other error, or it is a page.
		page := strings.HasPrefix(resp.Header().Get("Content-Type"), "text/html")
		api := strings.HasPrefix(r.URL.Path, "/v1/") || strings.HasPrefix(r.URL.Path, "/tile/")
		if page && api || !page && (resp.Code < 400 || notAnError != nil) {
			t.Errorf("%s %s isn't described, and is answered with %d %s", q.method, q.path, resp.Code, resp.Body)
		}
		return
	}
	described := itoa(resp.Code)
	if route.Operation.Responses.Value(described) == nil {
		described = described[:1] + "XX"
	}
	if route.Operation.Responses.Value(described) == nil && slices.Contains(anyPath, resp.Code) {
		if notAnError != nil {
			t.Errorf("%s %s is answered with %d: %v: %s", q.method, q.path, resp.Code, notAnError, resp.Body)
		}
		return
	}
	w.mu.Lock()
	w.seen[route.Method+" "+route.Path+" "+described] = true
	w.mu.Unlock()
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{MultiError: true, IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	if resp.Code < 300 {
		if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil {
			t.Errorf("%s %s was answered with %d, but isn't a request as described: %v", q.method, q.path, resp.Code, err)
		}
	}
	err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.Code, Header: resp.Header(), Body: io.NopCloser(bytes.NewReader(resp.Body.Bytes())), Options: input.Options,
	})
	if err != nil {
		t.Errorf("%s %s: the answer isn't as described: %v\n%.2000s", q.method, q.path, err, resp.Body)
	}
}

// find is the description of a request's route, found by the service's own patterns.
func (w *world) find(r *http.Request) (*routers.Route, map[string]string) {
	params := map[string]string{}
	var found *routers.Route
	mux := http.NewServeMux()
	for path := range w.spec.Paths.Map() {
		pattern := path
		for _, rest := range []string{"subject", "index"} {
			pattern = strings.Replace(pattern, "{"+rest+"}", "{"+rest+"...}", 1)
		}
		mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
			item := w.spec.Paths.Value(path)
			if op := item.GetOperation(r.Method); op != nil {
				found = &routers.Route{Spec: w.spec, Path: path, PathItem: item, Method: r.Method, Operation: op}
			}
			for _, name := range []string{"seq", "subject", "id", "level", "index"} {
				if v := r.PathValue(name); v != "" {
					params[name] = v
				}
			}
		})
	}
	mux.ServeHTTP(httptest.NewRecorder(), r.Clone(r.Context()))
	return found, params
}

func readError(body []byte) (*tracedb.Error, error) {
	var e wire.ErrorBody
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return nil, err
	}
	if e.Error == nil || e.Error.Code == "" || e.Error.Message == "" {
		return nil, errors.New("an error without code or message")
	}
	return e.Error, nil
}

// release is a batch that the record step sends.
func (w *world) release(t testing.TB, s apitest.Service) string {
	t.Helper()
	drafts, err := apitest.Release(w.signer, s)
	if err != nil {
		t.Fatal(err)
	}
	return batch(t, drafts...)
}

func batch(t testing.TB, drafts ...tracedb.Draft) string {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"records": drafts})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// follow lets the catalog and admission do what they do while the service runs.
func (w *world) follow(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.catalog.Run(ctx) })
	wg.Go(func() { _ = w.records.decides.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

// soon waits for what comes about by itself, and fails if it doesn't.
func soon(t testing.TB, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("still not: %s", what)
}
