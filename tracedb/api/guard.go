package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// requestInfo is what is found out about a request while it is answered, for its line in the log.
type requestInfo struct {
	route string
	who   string
}

type infoKey struct{}

func infoOf(ctx context.Context) *requestInfo {
	if info, ok := ctx.Value(infoKey{}).(*requestInfo); ok {
		return info
	}
	return &requestInfo{}
}

// responseWriter keeps how a request was answered.
type responseWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
	err    error
}

func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *responseWriter) Report(err error)            { w.err = err }

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Flush is for handlers that know no ResponseController.
func (w *responseWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// observe gives the request an id, logs and counts it, and turns a panic into an error. Neither the
// query nor any header is logged: tokens and codes travel there.
func (s *service) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		id := rand.Text()
		info := &requestInfo{route: "unknown"}
		rec := &responseWriter{ResponseWriter: w}
		w.Header().Set("X-Request-Id", id)
		r = r.WithContext(context.WithValue(r.Context(), infoKey{}, info))
		r.Body = http.MaxBytesReader(rec, r.Body, maxBody)
		s.metrics.underWay.Inc()
		aborted := false
		defer func() {
			if cause := recover(); cause != nil {
				if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					aborted = true
				} else {
					s.Logger.ErrorContext(r.Context(), "panic", "request", id, "route", info.route, "type", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
					aborted = rec.status != 0
					if !aborted {
						wire.Error(rec, fmt.Errorf("panic of %T", cause))
					}
				}
			}
			took := time.Since(begun)
			s.metrics.underWay.Dec()
			s.metrics.requests.WithLabelValues(info.route, method(r.Method), strconv.Itoa(rec.status)).Inc()
			s.metrics.seconds.WithLabelValues(info.route).Observe(took.Seconds())
			s.log(r, info, rec, id, took, aborted)
			if aborted {
				// The rest of the answer can't come: cutting it off is how the caller learns.
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

func (s *service) log(r *http.Request, info *requestInfo, rec *responseWriter, id string, took time.Duration, aborted bool) {
	attrs := []any{
		"request", id, "method", method(r.Method), "route", info.route, "path", strings.ToValidUTF8(r.URL.Path, "?"), "status", rec.status,
		"bytes", rec.bytes, "milliseconds", float64(took.Microseconds()) / 1000,
	}
	if info.who != "" {
		attrs = append(attrs, "who", info.who)
	}
	if aborted {
		attrs = append(attrs, "aborted", true)
	}
	switch {
	case rec.status >= 500:
		s.Logger.ErrorContext(r.Context(), "answered", append(attrs, "error", rec.err)...)
	case rec.err != nil:
		s.Logger.InfoContext(r.Context(), "answered", append(attrs, "error", rec.err)...)
	default:
		s.Logger.DebugContext(r.Context(), "answered", attrs...)
	}
}

// method is a request's method, which may be any token, as one of a few words.
func method(m string) string {
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, m) {
		return m
	}
	return "other"
}

// headers are those of every answer; the pages put a policy of their own in place of this one. There
// is no Strict-Transport-Security: the name belongs to one machine, whose certificate may change.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// requireCleanPath refuses paths that aren't in their simplest form, before anything is made of them: the mux would answer with a
// redirect, and who sends such a path isn't lost.
func requireCleanPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isClean(r.URL.EscapedPath()) {
			wire.Error(w, tracedb.ErrInvalid.At("path").Says("is not in its simplest form: no empty parts, dots or control characters").
				WithHint("in a subject, write each slash as %2F"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isClean says whether no part of a path is empty, climbs or stays, or has control characters. What
// is escaped is a part's own, as the mux has it: a slash in a subject parts nothing.
func isClean(escaped string) bool {
	rest, ok := strings.CutPrefix(escaped, "/")
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		name, err := url.PathUnescape(part)
		empty := name == "" && i < len(parts)-1 // a path may end in a slash
		ok = ok && err == nil && !empty && name != "." && name != ".." && !strings.ContainsFunc(name, unicode.IsControl)
	}
	return ok
}

// authenticate finds out who asks, but for those who sign their requests instead.
func (s *service) authenticate(next http.Handler) http.Handler {
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		infoOf(r.Context()).who = auth.From(r.Context()).Name
		next.ServeHTTP(w, r)
	})
	if s.Auth == nil {
		return named
	}
	authenticated := s.Auth.Middleware(named)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/events/") {
			next.ServeHTTP(w, r)
			return
		}
		authenticated.ServeHTTP(w, r)
	})
}

// timeoutError tells a timeout from other failures.
func timeoutError(ctx context.Context, err error) error {
	var e *tracedb.Error
	if errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled):
		return fmt.Errorf("%w (the caller left: %w)", tracedb.ErrUnavailable, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w (%w)", tracedb.ErrUnavailable.Says("the answer took too long").WithHint("ask for less, or try again"), err)
	}
	return err
}
