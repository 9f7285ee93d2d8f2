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
			r.say(top, "", RuleSyntax, "write it as YAML", "can't be read as YAML: %v", p)
			root = nil
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := dec.Decode(&first)
	if errors.Is(err, io.EOF) || err == nil && (len(first.Content) == 0 || null(first.Content[0])) {
		r.say(top, "", RuleDocuments, "write the fields "+strings.Join(below[""], ", "), "is empty")
		return nil
	}
	if err != nil {
		r.syntax(err)
		return nil
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		r.say(&second, "", RuleDocuments, "keep one, without --- between", "holds another YAML document from here on")
	case !errors.Is(err, io.EOF):
		r.syntax(err)
	}
	return first.Content[0]
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
	r.say(&at, "", RuleSyntax, "mend the YAML here, or on the next line", "isn't YAML: %s", what)
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
