package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// answers is a service that gives these answers by turns, and the last one for ever.
func answers(t *testing.T, handlers ...http.HandlerFunc) (*client.Client, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		handlers[min(n, len(handlers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	return client.New(client.Options{URL: server.URL + "/", HTTP: server.Client()}), &asked
}

func refuse(err *tracedb.Error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		e := tracedb.AsError(err)
		wire.Error(w, e)
		w.Header().Del("Retry-After")
	}
}

func say(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { wire.JSON(w, http.StatusOK, v) }
}

// hang up ends the connection without an answer.
func hangUp(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }

func text(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TestErrors sends every error of the service over the wire: it comes out as the same one.
func TestErrors(t *testing.T) {
	for _, want := range []*tracedb.Error{
		tracedb.ErrInvalid, tracedb.ErrUnauthenticated, tracedb.ErrForbidden, tracedb.ErrNotFound, tracedb.ErrMethod, tracedb.ErrConflict,
		tracedb.ErrReplayed, tracedb.ErrBound, tracedb.ErrDisposed, tracedb.ErrTooLarge, tracedb.ErrInvalidSignature, tracedb.ErrInvalidRecord, tracedb.ErrFull,
	} {
		t.Run(want.Code, func(t *testing.T) {
			full := want.At("records[3]").Says("exactly this").WithHint("do that")
			c, asked := answers(t, refuse(full))
			_, err := c.Search(t.Context(), tracedb.Query{})
			if !errors.Is(err, want) || errors.Is(err, tracedb.ErrInternal) {
				t.Fatalf("error %v, want %s", err, want.Code)
			}
			if diff := cmp.Diff(full, tracedb.AsError(err)); diff != "" {
				t.Errorf("error (-sent +received):\n%s", diff)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("asked %d times, though another time wouldn't help", n)
			}
		})
	}
}

// TestTriesAgain holds after which answers the question is put once more.
func TestTriesAgain(t *testing.T) {
	page := tracedb.Page{Entries: []tracedb.Entry{}}
	tests := []struct {
		name  string
		first http.HandlerFunc
		asked int32
		want  *tracedb.Error
	}{
		{"too many", refuse(tracedb.ErrTooMany), 2, nil},
		{"unavailable", refuse(tracedb.ErrUnavailable), 2, nil},
		{"internal", refuse(tracedb.ErrInternal), 2, nil},
		{"a proxy's word", text(502, "<html>Bad Gateway"), 2, nil},
		{"connection lost", hangUp, 2, nil},
		{"full", refuse(tracedb.ErrFull), 1, tracedb.ErrFull},
		{"not found", refuse(tracedb.ErrNotFound), 1, tracedb.ErrNotFound},
		{"a proxy's refusal", text(403, "no"), 1, tracedb.ErrForbidden},
		{"another's not found", text(404, `{"message":"Not Found"}`), 1, tracedb.ErrNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, asked := answers(t, tt.first, say(page))
			_, err := c.Search(t.Context(), tracedb.Query{})
			if tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if n := asked.Load(); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
		})
	}
}

// A record that was taken although its answer was lost is offered again as it was.
func TestRecordIsOfferedAgain(t *testing.T) {
	var bodies []string
	keep := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			bodies = append(bodies, string(raw))
			next(w, r)
		}
	}
	want := []tracedb.Receipt{{Seq: 7, Leaf: "x", Duplicate: true}}
	c, _ := answers(t, keep(hangUp), keep(say(map[string]any{"receipts": want})))
	got, err := c.Record(t.Context(), []tracedb.Draft{{ID: "a", Kind: tracedb.KindImage, Payload: json.RawMessage(`{}`)}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("receipts (-want +got):\n%s", diff)
	}
	if len(bodies) != 2 || bodies[0] != bodies[1] {
		t.Errorf("offered %q", bodies)
	}
	if _, err := c.Record(t.Context(), []tracedb.Draft{{Kind: tracedb.KindImage}}); !errors.Is(err, tracedb.ErrInvalid) || tracedb.AsError(err).Field != "records[0].id" {
		t.Errorf("a record without id: %v", err)
	}
	c, _ = answers(t, say(map[string]any{"receipts": want}))
	if _, err := c.Record(t.Context(), make2()); err == nil {
		t.Error("one receipt was enough for two records")
	}
}

func make2() []tracedb.Draft {
	return []tracedb.Draft{{ID: "a", Payload: json.RawMessage(`{}`)}, {ID: "b", Payload: json.RawMessage(`{}`)}}
}

// TestGivesUp ends with the last error when patience or the context do.
func TestGivesUp(t *testing.T) {
	server := httptest.NewServer(refuse(tracedb.ErrUnavailable))
	t.Cleanup(server.Close)
	impatient := client.New(client.Options{URL: server.URL, Patience: -1})
	if _, err := impatient.Register(t.Context()); !errors.Is(err, tracedb.ErrUnavailable) {
		t.Errorf("without patience: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	patient := client.New(client.Options{URL: server.URL, Patience: time.Hour})
	if _, err := patient.Register(ctx); !errors.Is(err, tracedb.ErrUnavailable) {
		t.Errorf("with a context that ends before the next try: %v", err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := patient.Register(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	l.Close()
	if _, err := client.New(client.Options{URL: nobody, Patience: -1}).Register(t.Context()); err == nil || !strings.Contains(err.Error(), "reach the Traceability DB") {
		t.Errorf("nobody there: %v", err)
	}
}

// A certificate that isn't trusted stays so: it is said at once, not after ten seconds.
func TestUntrusted(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			asked.Add(1)
		}
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := client.New(client.Options{URL: server.URL, HTTP: &http.Client{}, Patience: time.Hour}).Register(t.Context())
	if err == nil || !strings.Contains(err.Error(), "certificate") || asked.Load() != 1 {
		t.Errorf("after %d connections: %v", asked.Load(), err)
	}
}

// TestToken asks for the token at every attempt, and never says it.
func TestToken(t *testing.T) {
	tokens := []string{"first-token", "second-token"}
	var got []string
	keep := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Authorization"))
			next(w, r)
		}
	}
	server := httptest.NewServer(keep(text(503, "")))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	n := 0
	c := client.New(client.Options{URL: server.URL, Token: func(context.Context) (string, error) {
		n++
		return tokens[min(n, len(tokens))-1], nil
	}})
	_, err := c.Register(ctx)
	if len(got) < 2 || got[0] != "Bearer first-token" || got[1] != "Bearer second-token" {
		t.Errorf("sent %q", got)
	}
	if err == nil || strings.Contains(err.Error(), "token") {
		t.Errorf("error %v", err)
	}
	away := errors.New("no token file")
	c = client.New(client.Options{URL: server.URL, Token: func(context.Context) (string, error) { return "", away }})
	if _, err := c.Register(t.Context()); !errors.Is(err, away) {
		t.Errorf("without a token: %v", err)
	}
}

// An answer of admission that didn't come whole is no leave.
func TestAdmissionIsNeverALeaveByAccident(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"half", text(200, `{"allowed":true,"code":"all`)},
		{"nothing", text(200, ``)},
		{"refused with a yes", text(403, `{"allowed":true}`)},
		{"a page", text(200, `<html>allowed`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := answers(t, tt.answer)
			if d, err := c.Admission(t.Context(), catalog.Request{}); err == nil || d.Allowed {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

// TestSubjects holds how a subject travels in a path: as what was meant, whatever was pasted.
func TestSubjects(t *testing.T) {
	for subject, want := range map[string]string{
		"druppie/drone-service":                       "repository:druppie/drone-service",
		"druppie/drone-service#3":                     "pull:druppie/drone-service%233",
		"pod:drones/x":                                "pod:drones/x",
		"https://gitea.example/druppie/drone-service": "repository:druppie/drone-service",
		"spec:https://issues/1":                       "spec:https:%2F%2Fissues%2F1",
		"spec:a/../b":                                 "spec:a%2F..%2Fb",
	} {
		var got []string
		c, _ := answers(t, func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.URL.EscapedPath())
			wire.JSON(w, http.StatusOK, why.Chain{})
		})
		if _, err := c.Why(t.Context(), subject, why.Options{}); err != nil {
			t.Errorf("%q: %v", subject, err)
		}
		if err := c.Export(t.Context(), subject, io.Discard); err != nil {
			t.Errorf("%q: %v", subject, err)
		}
		if diff := cmp.Diff([]string{"/v1/why/" + want, "/v1/export/" + want}, got); diff != "" {
			t.Errorf("%q (-want +asked):\n%s", subject, diff)
		}
	}
	c, asked := answers(t, say(why.Chain{}))
	_, err := c.Why(t.Context(), "a b?proofs=true", why.Options{})
	if !errors.Is(err, tracedb.ErrInvalid) || !errors.Is(c.Export(t.Context(), "abcdef1", io.Discard), tracedb.ErrInvalid) || asked.Load() != 0 {
		t.Errorf("what is no subject was asked about %d times: %v", asked.Load(), err)
	}
}

// An archive that breaks off is an error, not a short archive.
func TestExportBreaksOff(t *testing.T) {
	c, _ := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "PK")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	var b bytes.Buffer
	if err := c.Export(t.Context(), "alg-00000000", &b); err == nil {
		t.Errorf("no error after %d bytes", b.Len())
	}
}
