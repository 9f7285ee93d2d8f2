package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
)

// policy lets a page load its own style, script and pictures and nothing else: no text of a record
// becomes a program, whatever else goes wrong (Content Security Policy level 3, Trusted Types).
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guarded adds the headers that every answer has.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		next.ServeHTTP(w, r)
	})
}

// page is a handler that gives an error to be shown as a page.
type page func(w http.ResponseWriter, r *http.Request) error

// open is a page for everybody.
func (s *Site) open(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := p(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// closed is a page for auditors.
func (s *Site) closed(p page) http.HandlerFunc {
	return s.open(func(w http.ResponseWriter, r *http.Request) error {
		if err := auth.Require(r.Context(), tracedb.RoleAuditor); err != nil {
			return err
		}
		return p(w, r)
	})
}

// recordRead records that the reader reads something, before it is shown: what can't be recorded isn't shown.
func (s *Site) recordRead(r *http.Request, what, of string) error {
	if err := s.o.Ingester.RecordRead(r.Context(), s.who(r), tracedb.Read{What: what, Of: of}); err != nil {
		return fmt.Errorf("record the read: %w", err)
	}
	return nil
}

// asked is a page's address as it is recorded: of its parameters those that decide what is shown, each
// with the one value that counts, so that nothing else can stand before what was asked.
func asked(r *http.Request, names ...string) string {
	q, counts := r.URL.Query(), url.Values{}
	for _, name := range names {
		if v := strings.TrimSpace(q.Get(name)); v != "" {
			counts.Set(name, v)
		}
	}
	u := url.URL{Path: r.URL.Path, RawQuery: counts.Encode()}
	return u.String()
}
