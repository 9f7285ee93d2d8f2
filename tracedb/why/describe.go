package why

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// The names under which the service itself writes.
const itself, collectors = "tracedb", "collector:"

// MaxSBOM is the size, in bytes, up to which a list of parts is read to describe it. Larger ones are
// only named: a chain must not wait for them.
const MaxSBOM = 64 << 10

// fields are what a record says, by the names of its payload. A name with _nl is the Dutch for the
// one without.
type fields map[string]string

// label is a field that is shown as a detail.
type label struct{ field, en, nl string }

// template says how records of a kind are described. Titles are templates of fields; what the payload doesn't
// say, or no longer says, comes from the entry: the one ref of a type under the type's name, and the
// actor. {outcome} is the word for the outcome.
type template struct {
	en, nl   string
	outcomes map[tracedb.Outcome]text.Text // where the common words don't fit
	labels   []label
	english  []string                            // fields that hold the service's own words, or those of a program that it collects from
	read     func(json.RawMessage, fields) error // nil: readFields
}

// Describe describes a record to people, in English and Dutch. The title needs no payload: without one, as
// when it was disposed of, it comes from the entry alone. What people wrote is cut to a line and
// cleared of control characters; it remains text that must be escaped wherever it is shown as markup.
func Describe(e tracedb.Entry, payload json.RawMessage) (title, titleNL string, details []Detail) {
	return describe(record{Entry: e, fields: fieldsOf(e, payload)})
}

func describe(r record) (title, titleNL string, details []Detail) {
	t, ok := templates[r.Kind]
	if !ok {
		return singleLine(string(r.Kind), maxQuote), singleLine(string(r.Kind), maxQuote), nil
	}
	for _, l := range t.labels {
		v := singleLine(r.fields[l.field], maxValue)
		if v == "" {
			continue
		}
		d := Detail{Name: l.en, NameNL: l.nl, Value: v, ValueNL: singleLine(r.fields[l.field+"_nl"], maxValue)}
		if slices.Contains(t.english, l.field) && (r.Writer == itself || strings.HasPrefix(r.Writer, collectors)) {
			d.Lang = "en"
		}
		details = append(details, d)
	}
	w := words{"outcome": r.outcome()}
	if r.get("object").EN == "" {
		w["object"] = text.Of("Something", "Iets")
	}
	out := r.say(t.en, t.nl, w)
	return out.EN, out.NL, details
}

// outcome is the word for how it ended.
func (r record) outcome() text.Text {
	return cmp.Or(templates[r.Kind].outcomes[r.Outcome], outcomes[r.Outcome])
}

// of is a field's value as a line for people: from the payload, or else from the entry.
func (f fields) of(e tracedb.Entry, name string) text.Text {
	en := cmp.Or(f[name], fromEntry(e, name))
	nl := cmp.Or(f[name+"_nl"], en)
	return text.Of(singleLine(abbreviate(en), maxQuote), singleLine(abbreviate(nl), maxQuote))
}

// fieldsOf is what the payload says. One that can't be read says nothing: the title still stands.
func fieldsOf(e tracedb.Entry, payload json.RawMessage) fields {
	out := fields{}
	t, ok := templates[e.Kind]
	if !ok || payload == nil || e.Kind == tracedb.KindSBOM && e.Size > MaxSBOM {
		return out
	}
	read := readFields
	if t.read != nil {
		read = t.read
	}
	if read(payload, out) != nil {
		return fields{}
	}
	return out
}

// fromEntry is what the entry alone knows of a field: who, or the one thing of that type it is about.
func fromEntry(e tracedb.Entry, name string) string {
	switch name {
	case "actor", "user", "pusher", "reviewer", "merged_by", "granted_by":
		return e.Actor
	case "digest":
		name = string(tracedb.RefImage)
	case "object":
		name = string(tracedb.RefPod)
	}
	if one := e.Values(tracedb.RefType(name)); len(one) == 1 {
		return one[0]
	}
	return ""
}

// readFields reads a payload of our own: every field that is a text, a number, a time or a list of texts.
func readFields(raw json.RawMessage, out fields) error {
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for name, v := range all {
		out[name] = formatValue(v)
	}
	return nil
}

// formatValue is a value of JSON as people read it; empty for objects and what says nothing.
func formatValue(v any) string {
	switch v := v.(type) {
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			if t.IsZero() {
				return ""
			}
			return formatTime(t)
		}
		return v
	case float64:
		if v == 0 {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		var words []string
		for _, w := range v {
			if s, ok := w.(string); ok {
				words = append(words, s)
			}
		}
		return strings.Join(words, ", ")
	}
	return ""
}

// readThen is readFields, followed by what else is made of the fields.
func readThen(more func(fields)) func(json.RawMessage, fields) error {
	return func(raw json.RawMessage, out fields) error {
		if err := readFields(raw, out); err != nil {
			return err
		}
		more(out)
		return nil
	}
}

// readTyped is readFields, followed by what else is made of the typed payload.
func readTyped[T any](more func(T, fields)) func(json.RawMessage, fields) error {
	return func(raw json.RawMessage, out fields) error {
		var typed T
		if err := errors.Join(json.Unmarshal(raw, &typed), readFields(raw, out)); err != nil {
			return err
		}
		more(typed, out)
		return nil
	}
}

// qualifyPull names a pull request with its repository, where the field has only its number.
func qualifyPull(repository string) func(fields) {
	return func(f fields) {
		if f["pull"] != "" {
			f["pull"] = f[repository] + "#" + f["pull"]
		}
	}
}
