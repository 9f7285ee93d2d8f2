// Package wire owns how the service speaks over HTTP: requests are read strictly and within bounds,
// answers are JSON, and an error has one form, written here and nowhere else. It refuses to let
// anything of the inside out: what isn't a tracedb.Error is answered as an internal one.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// ErrorBody is the JSON form of every answer that isn't a success.
type ErrorBody struct {
	Error *tracedb.Error `json:"error"`
}

// Reporter is what a ResponseWriter may be, to learn the error that was answered: the request's log
// line has the cause, which the caller doesn't get.
type Reporter interface{ Report(err error) }

// Report gives an error to the Reporter that w is or wraps; false if there is none.
func Report(w http.ResponseWriter, err error) bool {
	for {
		if r, ok := w.(Reporter); ok {
			r.Report(err)
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

// Error answers err.
func Error(w http.ResponseWriter, err error) {
	Report(w, err)
	var tooLarge *http.MaxBytesError
	e := tracedb.AsError(err)
	if e.Code == tracedb.ErrInternal.Code && errors.As(err, &tooLarge) {
		e = tracedb.ErrTooLarge.Says("the body has more than %d bytes", tooLarge.Limit)
	}
	h := w.Header()
	// Nothing that a handler said about its success holds for the error.
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "ETag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	switch e.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="tracedb"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	}
	status := e.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	JSON(w, status, ErrorBody{e})
}

// JSON answers v. A value that can't be written as JSON is a mistake of the program.
func JSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(true) // whatever shows this as HTML finds no markup in it
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("encode an answer: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	// A caller who left needs no answer.
	_, _ = w.Write(b.Bytes())
}

// Query is a search as the parameters of a request: whatever restricts it, once and in one order.
func Query(q tracedb.Query) url.Values {
	v := url.Values{}
	for name, t := range map[string]time.Time{"from": q.From, "until": q.Until} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	for name, text := range map[string]string{"kind": Kinds(q.Kinds), "actor": q.Actor, "outcome": string(q.Outcome)} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for _, ref := range q.Refs {
		v.Add("ref", ref.String())
	}
	for name, n := range map[string]int64{"before": q.Before, "limit": int64(q.Limit)} {
		if n > 0 {
			v.Set(name, strconv.FormatInt(n, 10))
		}
	}
	return v
}

// Kinds are kinds of record as one parameter.
func Kinds(kinds []tracedb.Kind) string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = string(k)
	}
	return strings.Join(out, ",")
}

// Read reads the request's body, which must be one JSON value of at most limit bytes without unknown
// fields. What is wrong with it is said with its place.
func Read(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return tracedb.ErrInvalid.At("Content-Type").Says("the body must be application/json")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return BodyError(err)
	}
	return Decode(raw, v)
}

// BodyError is what to answer when a body could not be read.
func BodyError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return tracedb.ErrTooLarge.Says("the body has more than %d bytes", tooLarge.Limit)
	}
	return fmt.Errorf("%w (%w)", tracedb.ErrInvalid.Says("the body ended before it was complete"), err)
}

// Decode reads one JSON value strictly: no unknown fields, nothing behind it. Errors name the line,
// the column and the field.
func Decode(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			line, column := place(raw, dec.InputOffset())
			return tracedb.ErrInvalid.Says("more than one JSON value: line %d, column %d", line, column)
		}
		return nil
	}
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &syntax):
		line, column := place(raw, syntax.Offset)
		return tracedb.ErrInvalid.Says("not JSON: %v, line %d, column %d", syntax, line, column)
	case errors.As(err, &kind):
		line, column := place(raw, kind.Offset)
		e := tracedb.ErrInvalid.Says("%s where %s belongs, line %d, column %d", article(strings.SplitN(kind.Value, " ", 2)[0]), article(expected(kind.Type.Kind().String())), line, column)
		if kind.Field != "" {
			e = e.At("%s", kind.Field)
		}
		return e
	case errors.Is(err, io.EOF):
		return tracedb.ErrInvalid.Says("the body is empty: JSON is expected")
	case errors.Is(err, io.ErrUnexpectedEOF):
		line, column := place(raw, int64(len(raw)))
		return tracedb.ErrInvalid.Says("not JSON: it ends too early, line %d, column %d", line, column)
	}
	var e *tracedb.Error
	if errors.As(err, &e) {
		return e
	}
	// What is left are unknown fields and values that refuse their text, such as times.
	line, column := place(raw, dec.InputOffset())
	return tracedb.ErrInvalid.Says("%v, near line %d, column %d", err, line, column)
}

func article(noun string) string {
	switch {
	case noun == "bool" || noun == "true or false":
		return "true or false"
	case strings.ContainsRune("aeiou", rune(noun[0])):
		return "an " + noun
	}
	return "a " + noun
}

// expected names a Go kind as JSON knows it.
func expected(kind string) string {
	switch kind {
	case "slice", "array":
		return "list"
	case "struct", "map", "ptr":
		return "object"
	case "bool":
		return "true or false"
	case "string":
		return "string"
	}
	return "number"
}

func place(raw []byte, offset int64) (line, column int) {
	before := raw[:min(max(offset, 0), int64(len(raw)))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}
