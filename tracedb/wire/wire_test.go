package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

type inner struct {
	Count int       `json:"count"`
	At    time.Time `json:"at,omitzero"`
}

type body struct {
	Name  string  `json:"name"`
	Inner inner   `json:"inner"`
	List  []inner `json:"list"`
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, give string
		field      string
		want       string // of the message; empty: it is read
	}{
		{"fine", `{"name":"x","inner":{"count":1}}`, "", ""},
		{"space behind it", "{}\n \n", "", ""},
		{"empty", "", "", "the body is empty: JSON is expected"},
		{"half", `{"name":`, "", "not JSON: it ends too early, line 1, column 9"},
		{"no JSON", "{\n  \"name\": nope}", "", "not JSON: invalid character 'o' in literal null (expecting 'u'), line 2, column 13"},
		{"two values", "{}\n{}", "", "more than one JSON value: line 2, column 2"},
		{"unknown", `{"nome":"x"}`, "", `json: unknown field "nome", near line 1, column`},
		{"a number for a text", `{"name":7}`, "name", "a number where a string belongs, line 1, column 10"},
		{"a text for a number", `{"inner":{"count":"7"}}`, "inner.count", "a string where a number belongs, line 1, column 22"},
		{"an object for a list", `{"list":{}}`, "list", "an object where a list belongs, line 1, column 10"},
		{"no time", `{"inner":{"at":"soon"}}`, "", `parsing time "soon"`},
		{"too deep", strings.Repeat(`[`, 20_000), "", "not JSON: invalid character '[' exceeded max depth"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b body
			err := wire.Decode([]byte(tt.give), &b)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *tracedb.Error
			if !errors.As(err, &e) || !errors.Is(err, tracedb.ErrInvalid) || !strings.Contains(e.Message, tt.want) || e.Field != tt.field {
				t.Errorf("error %#v, want %q at %q", err, tt.want, tt.field)
			}
		})
	}
}

func TestRead(t *testing.T) {
	read := func(kind, text string, limit int64) error {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
		r.Header.Set("Content-Type", kind)
		var b body
		return wire.Read(httptest.NewRecorder(), r, limit, &b)
	}
	if err := read("application/json; charset=utf-8", `{"name":"x"}`, 100); err != nil {
		t.Error(err)
	}
	if err := read("text/plain", `{}`, 100); !errors.Is(err, tracedb.ErrInvalid) || tracedb.AsError(err).Field != "Content-Type" {
		t.Errorf("text: %v", err)
	}
	if err := read("application/json", `{"name":"`+strings.Repeat("x", 100)+`"}`, 100); !errors.Is(err, tracedb.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader(`{"na`), broken{}))
	r.Header.Set("Content-Type", "application/json")
	if err := wire.Read(httptest.NewRecorder(), r, 100, &body{}); !errors.Is(err, tracedb.ErrInvalid) {
		t.Errorf("a body that breaks off: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// TestError holds what of an error comes out, and what doesn't.
func TestError(t *testing.T) {
	tests := []struct {
		name   string
		give   error
		status int
		want   string
		header string
	}{
		{"ours", tracedb.ErrNotFound.At("seq").WithHint("look elsewhere"), 404, `{"error":{"code":"not_found","message":"nothing is known about that","field":"seq","hint":"look elsewhere"}}`, ""},
		{"wrapped", fmt.Errorf("%w (of the inside)", tracedb.ErrUnavailable), 503, `{"error":{"code":"unavailable","message":"not now"}}`, "Retry-After"},
		{"another's", errors.New("password=hunter2"), 500, `{"error":{"code":"internal","message":"the service failed; its log says why"}}`, ""},
		{"too large", fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 7}), 413, `{"error":{"code":"too_large","message":"the body has more than 7 bytes"}}`, ""},
		{"who", tracedb.ErrUnauthenticated, 401, `{"error":{"code":"unauthenticated","message":"who are you?"}}`, "WWW-Authenticate"},
		{"markup", tracedb.ErrInvalid.Says("<script>"), 400, `{"error":{"code":"invalid","message":"\u003cscript\u003e"}}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Disposition", "attachment")
			inside := &reporter{ResponseWriter: w}
			wire.Error(outer{inside}, tt.give)
			if diff := cmp.Diff(tt.want+"\n", w.Body.String()); w.Code != tt.status || diff != "" {
				t.Errorf("status %d, body (-want +got):\n%s", w.Code, diff)
			}
			if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Disposition") != "" {
				t.Errorf("headers %v", w.Header())
			}
			if tt.header != "" && w.Header().Get(tt.header) == "" {
				t.Errorf("no %s", tt.header)
			}
			if inside.err != tt.give {
				t.Errorf("the log is told %v", inside.err)
			}
		})
	}
}

// reporter learns what was answered; outer is another layer around it.
type reporter struct {
	http.ResponseWriter
	err error
}

func (r *reporter) Report(err error) { r.err = err }

type outer struct{ http.ResponseWriter }

func (o outer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// FuzzDecode looks for a body that is taken although it isn't one JSON value of the type, and for an
// error that isn't one for the caller.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"name":"x","inner":{"count":1,"at":"2026-01-02T03:04:05Z"},"list":[]}`, `{"nome":1}`, "{", "", "[]", `{}{}`, "\xff", `{"name":"\ud800"}`, `null`, `{"inner":{"at":"x"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b body
		err := wire.Decode(raw, &b)
		if err != nil {
			if e := tracedb.AsError(err); e.Status != http.StatusBadRequest || e.Message == "" {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q was taken", raw)
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var c body
		if err := wire.Decode(again, &c); err != nil || !bytes.Equal(again, must(t, c)) {
			t.Fatalf("%s isn't read as it was written: %v", again, err)
		}
	})
}

func must(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
