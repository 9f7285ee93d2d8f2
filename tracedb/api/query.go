package api

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// query are a request's parameters. It keeps the first error; parameters that are read after it have no value.
type query struct {
	values url.Values
	err    error
}

// params reads the query, in which every name must be known: a filter that was misspelled would
// otherwise show more than was asked for.
func params(r *http.Request, known ...string) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &query{err: tracedb.ErrInvalid.Says("the query can't be read: names and values are percent-encoded, and & stands between them")}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return &query{err: tracedb.ErrInvalid.At("%s", name).Says("no such parameter").WithHint("known are: " + strings.Join(known, ", "))}
		}
	}
	return &query{values: values}
}

func (q *query) fail(name, format string, args ...any) {
	if q.err == nil {
		q.err = tracedb.ErrInvalid.At("%s", name).Says(format, args...)
	}
}

// one is a parameter's only value.
func (q *query) one(name string) string {
	switch v := q.values[name]; len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	}
	q.fail(name, "is given more than once")
	return ""
}

func (q *query) time(name string) (t time.Time) {
	if text := q.one(name); text != "" {
		var err error
		if t, err = time.Parse(time.RFC3339Nano, text); err != nil {
			q.fail(name, "is no time as RFC 3339 writes it: 2026-01-31T12:00:00Z")
		}
	}
	return t
}

func (q *query) number(name string, least, most int64) int64 {
	text := q.one(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most || text[0] == '+' {
		q.fail(name, "must be a number from %d to %d", least, most)
	}
	return n
}

// boolean is true where the parameter is given without a value.
func (q *query) boolean(name string) bool {
	switch q.one(name) {
	case "true":
		return true
	case "":
		return q.values.Has(name)
	case "false":
		return false
	}
	q.fail(name, "must be true or false")
	return false
}

// kinds reads kinds, each a parameter of its own or several with commas; they come sorted, once each.
func (q *query) kinds() []tracedb.Kind {
	var out []tracedb.Kind
	for _, v := range q.values["kind"] {
		for name := range strings.SplitSeq(v, ",") {
			k := tracedb.Kind(name)
			if _, ok := k.Info(); !ok {
				q.fail("kind", "there is no such kind of record")
			}
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// outcome is an outcome that some kind of record may have.
func (q *query) outcome() tracedb.Outcome {
	o := tracedb.Outcome(q.one("outcome"))
	if o != "" && !slices.Contains(tracedb.Outcomes(), o) {
		q.fail("outcome", "there is no such outcome")
	}
	return o
}

// refs reads ref=type:value, and repository= and service=, which are both words for a repository; they
// come sorted, once each.
func (q *query) refs() []tracedb.Ref {
	var out []tracedb.Ref
	for _, v := range q.values["ref"] {
		kind, value, ok := strings.Cut(v, ":")
		if !ok {
			q.fail("ref", "is not type:value")
		}
		out = append(out, tracedb.Ref{Type: tracedb.RefType(kind), Value: value})
	}
	for _, v := range slices.Concat(q.values["repository"], q.values["service"]) {
		out = append(out, tracedb.Ref{Type: tracedb.RefRepository, Value: v})
	}
	for _, ref := range out {
		if err := ref.Check(); err != nil {
			q.fail("ref", "%v", err)
		}
	}
	if out = tracedb.SortRefs(out); len(out) > tracedb.MaxQueryRefs {
		q.fail("ref", "are more than %d", tracedb.MaxQueryRefs)
	}
	return out
}
