package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/druppie/druppie-up/tracedb/auth"
)

// The installer may replace Gitea's token: the next request has the new one.
func TestBearing(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) }))
	t.Cleanup(server.Close)
	name := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	file, err := auth.NewFile(name)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: bearing{http.DefaultTransport, file.Value}}
	for _, token := range []string{"first", "second-one"} {
		write(token)
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if len(got) != 2 || got[0] != "token first" || got[1] != "token second-one" {
		t.Errorf("asked with %q", got)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if resp, err := client.Get(server.URL); err == nil {
		resp.Body.Close()
		t.Error("asked without a token")
	}
}
