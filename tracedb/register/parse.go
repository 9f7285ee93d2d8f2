package register

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/druppie/druppie-up/tracedb/redact"
)

// top is the file's first place.
var top = &yaml.Node{Line: 1, Column: 1}

// parse gives the root of the one document that the file must hold, or nil after saying why there is
// none.
func (r *reader) parse(data []byte) (root *yaml.Node) {
	if len(data) > MaxSize {
		r.say(top, "", RuleMaxSize, fmt.Sprintf("keep it within %d bytes", MaxSize), "has %d bytes", len(data))
		return nil
	}
	if !utf8.Valid(data) {
		r.say(broken(data), "", RuleSyntax, "save the file as UTF-8", "isn't UTF-8")
		return nil
	}
	// The library has panicked on crafted input before (CVE-2022-28948), and this is everybody's input.
	defer func() {
		if p := recover(); p != nil {
			r.say(top, "", RuleSyntax, "write it as YAML", "can't be read as YAML: %s", redact.Value(fmt.Sprint(p)))
			root = nil
		}
	}()
	for dec := yaml.NewDecoder(bytes.NewReader(version11(data))); ; {
		var document yaml.Node
		switch err := dec.Decode(&document); {
		case errors.Is(err, io.EOF) && root == nil:
			r.say(top, "", RuleDocuments, "write the fields "+strings.Join(below[""], ", "), "is empty")
			return nil
		case errors.Is(err, io.EOF):
			return root
		case err != nil:
			r.syntax(err)
			return root
		case len(document.Content) == 0 || null(document.Content[0]):
			// Between --- and the end, or the next ---, nothing was written.
		case root == nil:
			root = document.Content[0]
		default:
			r.say(&document, "", RuleDocuments, "keep one, without --- between", "holds another YAML document from here on")
			return root
		}
	}
}

var version12 = regexp.MustCompile(`\A\x{FEFF}?(?:[ \t]*(?:#.*)?\r?\n)*%YAML[ \t]+1\.2[ \t\r\n]`)

// version11 is a file that calls itself YAML 1.2 as one of 1.1: the library reads both alike, but refuses the
// directive. Every place in the file stays where it is.
func version11(data []byte) []byte {
	at := version12.FindIndex(data)
	if at == nil {
		return data
	}
	data = bytes.Clone(data)
	data[at[1]-2] = '1'
	return data
}

var lineOf = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)$`)

func (r *reader) syntax(err error) {
	at, what := *top, err.Error()
	if m := lineOf.FindStringSubmatch(what); m != nil {
		what = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			at.Line = n
		}
	}
	// The library counts the lines of some mistakes from 0.
	r.say(&at, "", RuleSyntax, "mend the YAML here, or on the next line", "isn't YAML: %s", redact.Value(what))
}

// broken is where the text stops being UTF-8.
func broken(data []byte) *yaml.Node {
	at := *top
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		if c == utf8.RuneError && n == 1 {
			break
		}
		if at.Column++; c == '\n' {
			at.Line, at.Column = at.Line+1, 1
		}
		data = data[n:]
	}
	return &at
}
