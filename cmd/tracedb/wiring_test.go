package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestHTTPWithoutHTTP2 sees that the configured CA alone is trusted, also in a program that was told to do
// without HTTP/2: there the default transport has no configuration of TLS to add to.
func TestHTTPWithoutHTTP2(t *testing.T) {
	t.Setenv("GODEBUG", "http2client=0")
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	h := &fixture{t: t, dir: t.TempDir(), pool: x509.NewCertPool()}
	h.certificate("trace.test")
	h.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for ca, trusted := range map[string]bool{h.path("ca.crt"): true, h.path("tls.crt"): false} {
		client, err := newHTTPClient(ca)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != trusted {
			t.Errorf("with %s: %v", ca, err)
		}
	}
}
