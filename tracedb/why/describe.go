package why

import (
	"encoding/json"
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

// form says how records of a kind are told. Titles are templates of fields; what the payload doesn't
// say, or no longer says, comes from the entry: the one ref of a type under the type's name, and the
// actor. {outcome} is the word for the outcome.
type form struct {
	en, nl   string
	outcomes map[tracedb.Outcome]text.Text // where the common words don't fit
	labels   []label
	english  []string // fields that hold the service's own words, or a program's that it heard
	read     func(json.RawMessage, fields) error
}

// Describe tells a record to people, in English and Dutch. The title needs no payload: without one, as
// when it was disposed of, it comes from the entry alone. What people wrote is cut to a line and
// cleared of control characters; it remains text that must be escaped wherever it is shown as markup.
func Describe(e tracedb.Entry, payload json.RawMessage) (title, titleNL string, details []Detail) {
	return describe(e, said(e, payload))
}

func describe(e tracedb.Entry, said fields) (title, titleNL string, details []Detail) {
	f, ok := forms[e.Kind]
	if !ok {
		return clean(string(e.Kind), maxQuote), clean(string(e.Kind), maxQuote), nil
	}
	for _, l := range f.labels {
		v := clean(said[l.field], maxValue)
		if v == "" {
			continue
		}
		d := Detail{Name: l.en, NameNL: l.nl, Value: v, ValueNL: clean(said[l.field+"_nl"], maxValue)}
		if slices.Contains(f.english, l.field) && byService(e.Writer) {
			d.Lang = "en"
		}
		details = append(details, d)
	}
	value := func(name string) text.Text {
		if name != "outcome" {
			v := said.of(e, name)
			if name == "object" && v.EN == "" {
				return text.Of("Something", "Iets")
			}
			return v
		}
		if word, ok := f.outcomes[e.Outcome]; ok {
			return word
		}
		return outcomes[e.Outcome]
	}
	t := text.Of(f.en, f.nl).Fill(value)
	return t.EN, t.NL, details
}

// byService says whether the service itself wrote a record, as it does for what it hears.
func byService(writer string) bool {
	return writer == itself || strings.HasPrefix(writer, collectors)
}

// of is a field's value as a line for people: from the payload, or else from the entry.
func (f fields) of(e tracedb.Entry, name string) text.Text {
	en, nl := f[name], f[name+"_nl"]
	if en == "" {
		en = fromEntry(e, name)
	}
	if nl == "" {
		nl = en
	}
	return text.Of(clean(brief(en), maxQuote), clean(brief(nl), maxQuote))
}

// said is what the payload says. One that can't be read says nothing: the title still stands.
func said(e tracedb.Entry, payload json.RawMessage) fields {
	out := fields{}
	f, ok := forms[e.Kind]
	if !ok || payload == nil || e.Kind == tracedb.KindSBOM && e.Size > MaxSBOM {
		return out
	}
	if err := f.read(payload, out); err != nil {
		return fields{}
	}
	return out
}

// fromEntry is what the entry alone knows of a field: who, or the one thing of that type it is about.
func fromEntry(e tracedb.Entry, name string) string {
	switch name {
	case "actor", "pusher", "reviewer", "merged_by", "granted_by":
		return e.Actor
	case "digest":
		name = string(tracedb.RefImage)
	case "object":
		name = string(tracedb.RefPod)
	}
	if one := values(e.Refs, tracedb.RefType(name)); len(one) == 1 {
		return one[0]
	}
	return ""
}

// plain reads a payload of our own: every field that is a text, a number, a moment or a list of texts.
func plain[T any](raw json.RawMessage, out fields) error {
	var typed T
	if err := json.Unmarshal(raw, &typed); err != nil {
		return err
	}
	again, err := json.Marshal(typed)
	if err != nil {
		return err
	}
	var all map[string]any
	if err := json.Unmarshal(again, &all); err != nil {
		return err
	}
	for name, v := range all {
		out[name] = spoken(v)
	}
	return nil
}

// spoken is a value of JSON as people read it; empty for objects and what says nothing.
func spoken(v any) string {
	switch v := v.(type) {
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			if t.IsZero() {
				return ""
			}
			return when(t)
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

// also lets a reader be followed by what more is to be made of its fields.
func also(read func(json.RawMessage, fields) error, more func(fields)) func(json.RawMessage, fields) error {
	return func(raw json.RawMessage, out fields) error {
		if err := read(raw, out); err != nil {
			return err
		}
		more(out)
		return nil
	}
}

// inPull names a pull request with its repository, where the field has only its number.
func inPull(repository string) func(fields) {
	return func(f fields) {
		if f["pull"] != "" {
			f["pull"] = f[repository] + "#" + f["pull"]
		}
	}
}
