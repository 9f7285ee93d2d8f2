package credentials_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/internal/httpclient"
)

func TestTransport(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	host, ca := foundrytest.TLS(t, ok)
	plain := httptest.NewServer(ok)
	defer plain.Close()
	away, awayCA := foundrytest.TLS(t, http.RedirectHandler(plain.URL, http.StatusFound))

	get := func(ca credentials.CA, url string) error {
		rt, err := ca.Transport()
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Transport: rt}).Get(url)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}
	if err := get(ca, "https://"+host); err != nil {
		t.Error(err)
	}
	if err := get(ca, plain.URL); !errors.Is(err, httpclient.ErrPlainHTTP) {
		t.Errorf("plain http: %v", err)
	}
	if err := get(awayCA, "https://"+away); !errors.Is(err, httpclient.ErrPlainHTTP) {
		t.Errorf("redirect to plain http: %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if err := get(foundrytest.ForeignCA(t), "https://"+host); !errors.As(err, &unknown) {
		t.Errorf("foreign CA: %v", err)
	}
	if err := get(nil, "https://"+host); err == nil {
		t.Error("no CA: trusted the system's")
	}
}

func TestReadCredentials(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		ok    bool
	}{
		{"both", map[string]string{"username": "foundry\n", "token": "t0ken\n"}, true},
		{"no token", map[string]string{"username": "foundry"}, false},
		{"no name", map[string]string{"token": "t0ken"}, false},
		{"empty token", map[string]string{"username": "foundry", "token": "\n"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := credentials.ReadBasic(dir, "token")
			if (err == nil) != tt.ok {
				t.Fatalf("got %v", err)
			}
			if tt.ok && got != (credentials.Basic{Username: "foundry", Password: "t0ken"}) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
