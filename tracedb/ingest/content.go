package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// name wants a short text.
func (c *content) name(field, value string) {
	switch {
	case value == "":
		c.wrong(field, "want a text")
	default:
		c.short(field, value)
	}
}

// short is a text that may be empty, and no longer than a name.
func (c *content) short(field, value string) {
	if len(value) > MaxName {
		c.wrong(field, "want at most %d bytes", MaxName)
	}
}

// text is a text that may be empty and long.
func (c *content) text(field, value string) {
	if len(value) > maxText {
		c.wrong(field, "want at most %d bytes", maxText)
	}
}

// prose is a text that must be there and may be long.
func (c *content) prose(field, value string) {
	if value == "" {
		c.wrong(field, "want a text")
	}
	c.text(field, value)
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

// may is ref for a value that may be missing.
func (c *content) may(field string, t tracedb.RefType, value string) {
	if value != "" {
		c.ref(field, t, value)
	}
}

// loose makes a ref of a value that is others' text: what isn't of that type isn't wrong, only not
// to be found by it.
func (c *content) loose(field string, t tracedb.RefType, value string) {
	c.short(field, value)
	if (tracedb.Ref{Type: t, Value: value}).Check() == nil {
		c.about(t, value)
	}
}

func (c *content) about(t tracedb.RefType, value string) {
	c.refs = append(c.refs, tracedb.Ref{Type: t, Value: value})
}

func (c *content) pull(field, repository string, number int64) {
	c.ref(field, tracedb.RefPull, fmt.Sprintf("%s#%d", repository, number))
}

func (c *content) list(field string, n int) {
	if n > maxList {
		c.wrong(field, "want at most %d", maxList)
	}
}

// outcomes wants one of those.
func (c *content) oneOf(field string, got tracedb.Outcome, want ...tracedb.Outcome) {
	for _, w := range want {
		if got == w {
			return
		}
	}
	c.wrong(field, "want one of %v", want)
}

// decoder reads the payload of a kind of our own into its type, redacts it, checks it and says what
// it is about. It returns the payload as it will be stored.
type decoder func(raw json.RawMessage, c *content) (json.RawMessage, error)

// own makes the decoder of a kind whose payload is a T.
func own[T any](say func(p *T, c *content)) decoder {
	return func(raw json.RawMessage, c *content) (json.RawMessage, error) {
		if len(raw) > maxOwn {
			return nil, tracedb.ErrTooLarge.Says("a payload of this kind has at most %d bytes", maxOwn)
		}
		var p T
		if err := strict.Decode(raw, &p, strict.Known); err != nil {
			return nil, err
		}
		clean, err := encode(p)
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
		say(&p, c)
		if c.err != nil {
			return nil, c.err
		}
		return clean, nil
	}
}

// encode writes a payload in its one form: the type's fields in their order, no escapes for HTML.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// OneLine says whether s can stand in a list: a name without line breaks or other control characters.
func OneLine(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}
