// Package foundrytest has the servers that the tests of the pipeline's steps talk
// to: real ones, in process, with certificates of a CA of their own. Only tests
// use it.
package foundrytest

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
)

// Writer may write to the registry.
var Writer = credentials.Basic{Username: "writer", Password: "s3cret"}

// Registry is a registry with the rules of the foundry's: reads are open,
// writes want credentials. Host is its host and port.
func Registry(t *testing.T) (host string, ca credentials.CA) {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	return TLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reads && (user != Writer.Username || pass != Writer.Password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
}

// TLS serves a handler over https.
func TLS(t *testing.T, h http.Handler) (host string, ca credentials.CA) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are the point
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "https://"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
