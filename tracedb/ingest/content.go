package ingest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest/strict"
	"github.com/druppie/druppie-up/tracedb/redact"
)

// Limits of what people and programs write into payloads.
const (
	// MaxName is the most bytes of names, titles and addresses.
	MaxName  = 500
	maxText  = 64 << 10  // messages, reasons, descriptions
	maxOwn   = 512 << 10 // a payload of our own, all in all; algorithm.yaml fits
	maxList  = 2000      // entries of a list
	maxActor = 200       // who did it
)

// content is what a payload says about the record that it is in. Its methods note what is wrong, and
// the first note stays.
type content struct {
	actor   string // who did it, if the payload knows
	refs    []tracedb.Ref
	outcome tracedb.Outcome // empty: the payload doesn't say
	facts   []tracedb.Fact
	err     *tracedb.Error
}

func (c *content) wrong(field, format string, args ...any) {
	if c.err == nil {
		c.err = tracedb.ErrInvalidRecord.Says(format, args...).At("%s", field)
	}
}

// check checks the fields of a payload, or of a part of it, that have the tag want.
func (c *content) check(prefix string, payload any) {
	v := reflect.Indirect(reflect.ValueOf(payload))
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if want, ok := tag.Lookup("want"); ok {
			name, _, _ := strings.Cut(tag.Get("json"), ",")
			c.field(prefix+name, want, v.Field(i).String())
		}
	}
}

func (c *content) field(field, want, value string) {
	want, optional := strings.CutSuffix(want, "?")
	if optional && value == "" {
		return
	}
	rule, refType, _ := strings.Cut(want, " ")
	switch rule {
	case "name":
		c.text(field, value, MaxName)
	case "text":
		c.text(field, value, maxText)
	case "like":
		c.shape(field, tracedb.RefType(refType), value)
	case "maybe":
		c.maybe(field, tracedb.RefType(refType), value)
	default:
		c.ref(field, tracedb.RefType(rule), value)
	}
}

// text wants a text of at most so many bytes.
func (c *content) text(field, value string, most int) {
	switch {
	case value == "":
		c.wrong(field, "want a text")
	case len(value) > most:
		c.wrong(field, "want at most %d bytes", most)
	}
}

// shape wants a value of that type, without making it a ref.
func (c *content) shape(field string, t tracedb.RefType, value string) bool {
	if err := (tracedb.Ref{Type: t, Value: value}).Check(); err != nil {
		c.wrong(field, "%s", err)
		return false
	}
	return true
}

// ref wants a value of that type, which the record is about.
func (c *content) ref(field string, t tracedb.RefType, value string) {
	if c.shape(field, t, value) {
		c.about(t, value)
	}
}

// maybe makes a ref of a value that is others' text: what isn't of that type isn't wrong, only not
// to be found by it.
func (c *content) maybe(field string, t tracedb.RefType, value string) {
	if len(value) > MaxName {
		c.wrong(field, "want at most %d bytes", MaxName)
	}
	if (tracedb.Ref{Type: t, Value: value}).Check() == nil {
		c.about(t, value)
	}
}

func (c *content) about(t tracedb.RefType, value string) {
	c.refs = append(c.refs, tracedb.Ref{Type: t, Value: value})
}

func (c *content) pull(repository string, number int64) {
	c.ref("pull", tracedb.RefPull, fmt.Sprintf("%s#%d", repository, number))
}

func (c *content) list(field string, n int) {
	if n > maxList {
		c.wrong(field, "want at most %d", maxList)
	}
}

// decoder reads the payload of a kind of our own into its type, redacts it, checks it and says what
// it is about. It returns the payload as it will be stored.
type decoder func(raw json.RawMessage, c *content) (json.RawMessage, error)

// own makes the decoder of a kind whose payload is a T; check, if it isn't nil, checks what its tags don't say.
func own[T any](check func(p *T, c *content)) decoder {
	return func(raw json.RawMessage, c *content) (json.RawMessage, error) {
		if len(raw) > maxOwn {
			return nil, tracedb.ErrTooLarge.Says("a payload of this kind has at most %d bytes", maxOwn)
		}
		var p T
		if err := strict.Decode(raw, &p, strict.Known); err != nil {
			return nil, err
		}
		clean, err := tracedb.EncodeJSON(p)
		if err != nil {
			return nil, tracedb.ErrInvalidRecord.Says("a time is out of range")
		}
		if redacted, found := redact.JSON(clean); found {
			// What is recorded is read anew, so that nothing is derived from what was taken out.
			clean = redacted
			p = *new(T)
			if err := strict.Decode(clean, &p, strict.Known); err != nil {
				return nil, err
			}
		}
		c.check("", p)
		if check != nil {
			check(&p, c)
		}
		if c.err != nil {
			return nil, c.err
		}
		return clean, nil
	}
}

// OneLine says whether s can stand in a list: a name without line breaks or other control characters.
func OneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029'
	})
}
