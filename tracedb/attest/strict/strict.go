// Package strict reads JSON that has one reading only. It owns the rules that encoding/json is
// lenient about: names match exactly, none comes twice (not even in another case, which other readers
// would take for the same), text is UTF-8, and nothing follows the value. It refuses with the place
// of what it refuses, and never repeats the text.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/druppie/druppie-up/tracedb"
)

// Fields says what to do with fields that aren't known.
type Fields bool

// Known refuses them; Any passes them by.
const (
	Known Fields = true
	Any   Fields = false
)

// maxDepth is far more than any format that is read here nests.
const maxDepth = 100

// Decode reads data into v. What can't be read is tracedb.ErrInvalidRecord, with the place in data.
func Decode(data []byte, v any, fields Fields) error {
	if err := Check(data); err != nil {
		return err
	}
	// Doubles were looked for already.
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(bool(fields)), jsontext.AllowDuplicateNames(true))
	if err != nil {
		return explain(err)
	}
	return nil
}

// Check refuses what could be read in two ways.
func Check(data []byte) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
	var names []map[string]bool // of the objects that are open; nil for arrays
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			return explain(err)
		}
		if len(names) == 0 && dec.StackDepth() == 0 { // a lone scalar
			return trailing(dec)
		}
		switch tok.Kind() {
		case '{', '[':
			if len(names) == maxDepth {
				return tracedb.ErrInvalidRecord.Says("nested deeper than %d", maxDepth).At("%s", Path(dec.StackPointer()))
			}
			var seen map[string]bool
			if tok.Kind() == '{' {
				seen = map[string]bool{}
			}
			names = append(names, seen)
		case '}', ']':
			names = names[:len(names)-1]
			if len(names) == 0 {
				return trailing(dec)
			}
		case '"':
			seen := names[len(names)-1]
			// In an object, names come at odd counts of tokens.
			if _, n := dec.StackIndex(dec.StackDepth()); seen == nil || n%2 == 0 {
				continue
			}
			name := strings.ToLower(tok.String())
			if seen[name] {
				return tracedb.ErrInvalidRecord.Says("this field comes twice, so it has no one reading").At("%s", Path(dec.StackPointer()))
			}
			seen[name] = true
		}
	}
}

// trailing refuses anything but white space after the value.
func trailing(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return tracedb.ErrInvalidRecord.Says("something follows the JSON value")
	}
	return nil
}

// explain is what the library found, without the text that it found.
func explain(err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return place(syntactic.JSONPointer, fmt.Sprintf("not valid JSON at byte %d", syntactic.ByteOffset))
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		switch {
		case errors.Is(semantic.Err, json.ErrUnknownName):
			return place(semantic.JSONPointer, "there is no such field")
		case semantic.GoType != nil && semantic.GoType.String() == "time.Time":
			return place(semantic.JSONPointer, "want a time as RFC 3339 writes it: 2026-01-31T12:00:00Z")
		}
		return place(semantic.JSONPointer, fmt.Sprintf("%s is not what belongs here", kindName(semantic.JSONKind)))
	}
	return tracedb.ErrInvalidRecord.Says("not valid JSON")
}

func place(p jsontext.Pointer, message string) error {
	e := tracedb.ErrInvalidRecord.Says("%s", message)
	if path := Path(p); path != "" {
		return e.At("%s", path)
	}
	return e
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	case '"':
		return "this text"
	case '0':
		return "this number"
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	return "this"
}

// maxName keeps a field's name within what an error should show.
const maxName = 64

// Path writes a JSON pointer as people write places: refs[3].value. Names are shown as far as they
// are plain, since they may be anybody's text.
func Path(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 31); err == nil {
			fmt.Fprintf(&b, "[%s]", token)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		if len(token) > maxName {
			token = token[:maxName]
		}
		b.WriteString(strings.Map(plain, token))
	}
	return b.String()
}

func plain(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("_-:/@$", r):
		return r
	}
	return '?'
}
