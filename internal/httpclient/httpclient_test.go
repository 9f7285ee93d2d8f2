package httpclient_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/druppie/druppie-up/internal/httpclient"
)

// serve starts a server with a certificate of its own; ca is that certificate.
func serve(t *testing.T, h http.Handler) (url string, ca []byte) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are the point
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func get(o httpclient.Options, url string) error {
	c, err := httpclient.New(o)
	if err != nil {
		return err
	}
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func TestNew(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	plain := httptest.NewServer(ok)
	defer plain.Close()
	url, ca := serve(t, ok)
	toPlain, toPlainCA := serve(t, http.RedirectHandler(plain.URL, http.StatusFound))
	toOther, _ := serve(t, http.RedirectHandler(url, http.StatusFound))
	same := http.NewServeMux()
	same.Handle("/", http.RedirectHandler("/ok", http.StatusFound))
	same.Handle("/ok", ok)
	toSame, toSameCA := serve(t, same)
	toItself, toItselfCA := serve(t, http.RedirectHandler("/", http.StatusFound))

	for _, tt := range []struct {
		name string
		o    httpclient.Options
		url  string
		want error // nil: an answer
	}{
		{"the authority's server", httpclient.Options{CA: ca}, url, nil},
		{"plain http", httpclient.Options{CA: ca}, plain.URL, httpclient.ErrPlainHTTP},
		{"redirect to plain http", httpclient.Options{CA: toPlainCA}, toPlain, httpclient.ErrOtherHost},
		{"redirect to another host", httpclient.Options{CA: ca}, toOther, httpclient.ErrOtherHost},
		{"redirect to the same host", httpclient.Options{CA: toSameCA}, toSame, nil},
		{"redirect without end", httpclient.Options{CA: toItselfCA}, toItself, httpclient.ErrOtherHost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := get(tt.o, tt.url); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("an authority that didn't vouch for it", func(t *testing.T) {
		var unknown x509.UnknownAuthorityError
		if err := get(httpclient.Options{SystemCAs: true}, url); !errors.As(err, &unknown) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("no authority", func(t *testing.T) {
		for _, ca := range []string{"", "no certificate"} {
			if _, err := httpclient.New(httpclient.Options{CA: []byte(ca)}); err == nil {
				t.Errorf("CA %q: somebody else is trusted instead", ca)
			}
		}
		if _, err := httpclient.New(httpclient.Options{CA: []byte("no certificate"), SystemCAs: true}); err == nil {
			t.Error("a CA without a certificate: this machine's are trusted instead")
		}
	})
	t.Run("dials as it is told", func(t *testing.T) {
		c, err := httpclient.New(httpclient.Options{CA: ca, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, url[len("https://"):])
		}})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Get("https://example.com:1/") // the name in httptest's certificate
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
}

func TestReadCA(t *testing.T) {
	_, ca := serve(t, http.NotFoundHandler())
	dir := t.TempDir()
	for name, text := range map[string]string{"ca": string(ca), "empty": "", "text": "hello"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := httpclient.ReadCA(filepath.Join(dir, "ca")); err != nil || string(got) != string(ca) {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"empty", "text", "none"} {
		if _, err := httpclient.ReadCA(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s passed for a CA", name)
		}
	}
}
