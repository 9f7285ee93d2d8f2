package redact

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/druppie/druppie-up/tracedb/attest/strict"
)

// JSON is raw with every secret in its texts replaced; false if there was none, and raw as it
// was. Names of fields stay: they are the types' own.
func JSON(raw json.RawMessage) (json.RawMessage, bool) {
	var out bytes.Buffer
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	enc := jsontext.NewEncoder(&out)
	found := false
	for {
		tok, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return raw, false // not JSON: the next reader says so
		}
		if tok.Kind() == '"' && !isMemberName(dec) {
			if clean, what := Text(tok.String()); len(what) > 0 {
				found, tok = true, jsontext.String(clean)
			}
		}
		if err := enc.WriteToken(tok); err != nil {
			return raw, false
		}
	}
	if !found {
		return raw, false
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), true
}

// SecretIn is the first secret in a document that can't be altered: where it is, and of what sort.
// Here names count, too: {"password": "…"}.
func SecretIn(raw []byte) (path, what string) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	name := ""
	for {
		tok, err := dec.ReadToken()
		if err != nil {
			return "", ""
		}
		if tok.Kind() != '"' {
			continue
		}
		text := tok.String()
		if isMemberName(dec) {
			name = text
			if what := Secret(text); what != "" {
				return strict.Path(dec.StackPointer().Parent()), what
			}
			continue
		}
		what := Secret(text)
		if kind, _ := dec.StackIndex(dec.StackDepth()); what == "" && kind == '{' && named.MatchString(name) && isRandom(&match{text: text, to: len(text)}) && !isVersion(text) {
			what = "secret"
		}
		if what != "" {
			return strict.Path(dec.StackPointer()), what
		}
	}
}

// isMemberName says whether the text that was just read is a field's name.
func isMemberName(dec *jsontext.Decoder) bool {
	kind, n := dec.StackIndex(dec.StackDepth())
	return kind == '{' && n%2 == 1
}
