package giteaclient

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"code.gitea.io/sdk/gitea"
)

func TestWhoAsks(t *testing.T) {
	var heard []string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/user", func(w http.ResponseWriter, r *http.Request) {
		heard = append(heard, r.Header.Get("Authorization"))
		w.Write([]byte(`{"login":"builder"}`))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	turn := 0
	for _, tt := range []struct {
		name string
		o    Options
		want []string // of two requests
	}{
		{"nobody", Options{}, []string{"", ""}},
		{"a token", Options{Token: Token("t")}, []string{"token t", "token t"}},
		{"a token that changes", Options{Token: func() (string, error) { turn++; return string('0' + rune(turn)), nil }}, []string{"token 1", "token 2"}},
		{"a name and a password", Options{Username: "a", Password: "b"}, []string{"Basic YTpi", "Basic YTpi"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			heard = nil
			tt.o.URL, tt.o.HTTP = server.URL, server.Client()
			c, err := New(t.Context(), tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.GetMyUserInfo(); err != nil {
				t.Fatal(err)
			}
			if err := c.Call(t.Context(), http.MethodGet, "/user", nil, nil); err != nil {
				t.Fatal(err)
			}
			if len(heard) != 2 || heard[0] != tt.want[0] || heard[1] != tt.want[1] {
				t.Errorf("the requests, none of them for a version, came with %q, want %q", heard, tt.want)
			}
		})
	}
	t.Run("a token that can't be read", func(t *testing.T) {
		gone := errors.New("gone")
		c, err := New(t.Context(), Options{URL: server.URL, HTTP: server.Client(), Token: func() (string, error) { return "", gone }})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.GetMyUserInfo(); !errors.Is(err, gone) {
			t.Errorf("error %v", err)
		}
	})
}

// TestPasswordMakesTokens: the SDK itself refuses calls about tokens from a client that it knows no user of.
func TestPasswordMakesTokens(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("DELETE /api/v1/users/a/tokens/old", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /api/v1/users/a/tokens", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte(`{"sha1":"made"}`))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c, err := New(t.Context(), Options{URL: server.URL, HTTP: server.Client(), Username: "a", Password: "b"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteAccessToken("old"); err != nil {
		t.Error(err)
	}
	made, _, err := c.CreateAccessToken(gitea.CreateAccessTokenOption{Name: "new", Scopes: []gitea.AccessTokenScope{"read:user"}})
	if err != nil || made.Token != "made" {
		t.Errorf("%+v, %v", made, err)
	}
}

// TestTokenStays: whoever Gitea's answer leads to doesn't get the token.
func TestTokenStays(t *testing.T) {
	var heard []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard = append(heard, r.Header.Get("Authorization"))
		w.Write([]byte(`{}`))
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer server.Close()
	c, err := New(t.Context(), Options{URL: server.URL, HTTP: server.Client(), Token: Token("t")})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.GetMyUserInfo()
	if len(heard) != 1 || heard[0] != "" {
		t.Errorf("the other host heard %q, %v", heard, err)
	}
}

func TestCall(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/echo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("a body of type %q", r.Header.Get("Content-Type"))
		}
		r.Write(w)
		w.Write([]byte(`no JSON`))
	})
	mux.HandleFunc("POST /api/v1/hooks", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"id":7}`)) })
	mux.HandleFunc("POST /api/v1/refused", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusMethodNotAllowed)
		w.Write([]byte(`{"message":"not yet"}`))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c, err := New(t.Context(), Options{URL: server.URL + "/", HTTP: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ ID int }
	if err := c.Call(t.Context(), http.MethodPost, "/hooks", map[string]int{"a": 1}, &out); err != nil || out.ID != 7 {
		t.Errorf("%+v, %v", out, err)
	}
	if err := c.Call(t.Context(), http.MethodPost, "/echo", 1, &out); err == nil {
		t.Error("an answer that is no JSON passed")
	}
	var e *Error
	if err := c.Call(t.Context(), http.MethodPost, "/refused", nil, nil); !errors.As(err, &e) || *e != (Error{405, "not yet"}) {
		t.Errorf("refused: %v", err)
	} else if err.Error() != "Gitea answered 405 Method Not Allowed: not yet" {
		t.Errorf("said %q", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, address := range []string{"", "gitea", "https://a b/", "https://piet:hunter2@a b/", "https://piet:hunter2@/x", "https://piet:hunter2@gitea:port/"} {
		_, err := New(t.Context(), Options{URL: address, HTTP: http.DefaultClient})
		if err == nil {
			t.Errorf("%q passed for an address", address)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password shows: %v", err)
		}
	}
}
