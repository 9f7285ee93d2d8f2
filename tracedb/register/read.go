package register

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/druppie/druppie-up/tracedb/redact"
)

// maxDepth is how deep eu_database may nest, which is the one part without fields of its own.
const maxDepth = 16

// Validate reads a file and holds it against every rule that needs nothing but the file. The document
// is as much as could be read; it is fit for use when there are no violations.
func Validate(data []byte) (Document, Violations) {
	r := newReader()
	d := r.document(data)
	return d, r.out.sorted()
}

// reader reads one file's nodes.
type reader struct {
	out Violations
	// given are the fields that say something, by path, with their values, whether right or wrong.
	given map[string]*yaml.Node
	// place is where an object begins, which is where its missing fields are missed.
	place map[string]*yaml.Node
}

func newReader() *reader {
	return &reader{given: map[string]*yaml.Node{}, place: map[string]*yaml.Node{}}
}

func (r *reader) say(n *yaml.Node, path, rule, remedy, format string, args ...any) {
	r.out = append(r.out, Violation{Path: path, Line: n.Line, Column: n.Column, Rule: rule, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (r *reader) document(data []byte) Document {
	if root := r.parse(data); root != nil {
		return r.content(root)
	}
	return Document{}
}

// content reads the one object that everything is in.
func (r *reader) content(root *yaml.Node) (d Document) {
	if root.Kind != yaml.MappingNode {
		r.say(root, "", RuleType, "write the fields "+strings.Join(below[""], ", "), "is %s, not fields with values", kindOf(root))
		return Document{}
	}
	r.plain("", root)
	clean := r.object("", "", root, root)
	for _, rel := range relations {
		r.relate(rel)
	}
	// What remains are texts, lists and objects of the right names, so this can't fail; if it does
	// after all, the document isn't what the file says.
	if err := clean.Decode(&d); err != nil {
		r.say(root, "", RuleType, "write the fields as "+Schema+" has them", "can't be read: %s", redact.Value(err.Error()))
	}
	return d
}

// object reads an object's fields and gives it back with only what is sound: names that exist, values
// of the right kind. The path is the file's own, table the path in the table of fields.
func (r *reader) object(table, path string, at, n *yaml.Node) *yaml.Node {
	r.place[path] = at
	clean := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := join(path, key.Value)
		if !r.key(path, key, seen) {
			continue
		}
		f, ok := fieldAt[join(table, key.Value)]
		if !ok {
			r.say(key, name, RuleUnknownField, unknownRemedy(join(table, key.Value))[0], "isn't a field of %s", Schema)
			continue
		}
		if v := r.field(f, name, key, value); v != nil {
			clean.Content = append(clean.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key.Value}, v)
		}
	}
	for _, name := range below[table] {
		if f := fieldAt[join(table, name)]; f.tier == tierAlways && r.given[join(path, name)] == nil {
			r.say(at, join(path, name), RuleRequired, f.wants()[0], "is missing")
		}
	}
	return clean
}

// key says whether a key names a field, for the first time in its object.
func (r *reader) key(path string, key *yaml.Node, seen map[string]int) bool {
	if key.Kind != yaml.ScalarNode {
		r.say(key, path, RuleType, "write a field's name", "a name is %s", kindOf(key))
		return false
	}
	name := join(path, key.Value)
	if key.Tag == "!!merge" {
		r.say(key, name, RuleForbidden, "write the fields out", "other fields can't be merged in")
		return false
	}
	if !r.plain(name, key) {
		return false
	}
	if line, twice := seen[key.Value]; twice {
		r.say(key, name, RuleDuplicateKey, "keep one of the two", "stands on line %d already", line)
		return false
	}
	seen[key.Value] = key.Line
	return true
}

// plain refuses what makes one text of YAML mean another: anchors, aliases and tags. It says whether
// the node can be looked at further.
func (r *reader) plain(path string, n *yaml.Node) bool {
	const remedy = "write the value itself"
	switch {
	case n.Kind == yaml.AliasNode:
		r.say(n, path, RuleForbidden, remedy, "aliases aren't followed")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		r.say(n, path, RuleForbidden, remedy, "tags such as %s have no meaning here", quote(n.Tag))
		return false
	case n.Anchor != "":
		r.say(n, path, RuleForbidden, remedy, "anchors have no meaning here")
	}
	return true
}

// field reads one field's value. A value that says nothing (null, a blank text, an empty list, an object
// of nothing else where no table names the fields) counts as absent.
func (r *reader) field(f field, path string, key, n *yaml.Node) *yaml.Node {
	if null(n) {
		return nil
	}
	if f.tier == tierNever {
		r.say(key, path, RuleForbidden, f.note[0], "isn't for this file to say")
		return nil
	}
	if !r.plain(path, n) {
		r.given[path] = n
		return nil
	}
	switch want := map[kind]yaml.Kind{line: yaml.ScalarNode, texts: yaml.SequenceNode, objects: yaml.SequenceNode, object: yaml.MappingNode, free: yaml.MappingNode}[f.kind]; {
	case f.kind == line && n.Kind == want && blank(n):
		return nil
	case n.Kind != want:
		r.given[path] = n
		r.say(n, path, RuleType, f.wants()[0], "is %s", kindOf(n))
		return nil
	case len(n.Content) == 0 && (n.Kind == yaml.SequenceNode || f.kind == free):
		return nil
	}
	if f.kind != free || !silent(n) {
		r.given[path] = n
	}
	switch f.kind {
	case line:
		return r.text(f, path, n)
	case object:
		return r.object(f.path, path, key, n)
	case free:
		return r.free(path, n, 1)
	}
	return r.list(f, path, n)
}

func (r *reader) list(f field, path string, n *yaml.Node) *yaml.Node {
	clean := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	seen := map[string]int{}
	for i, e := range n.Content {
		path := fmt.Sprintf("%s[%d]", path, i)
		// An element that can't be read leaves its place empty, so that places keep their numbers.
		v := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if f.kind == texts {
			v = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str"}
		}
		id, at := "", e
		one := f
		one.kind = line
		switch {
		case !r.plain(path, e):
		case f.kind == texts && e.Kind == yaml.ScalarNode && blank(e):
			r.say(e, path, RuleRequired, one.wants()[0], "is empty")
		case f.kind == texts && e.Kind == yaml.ScalarNode:
			v = r.text(one, path, e)
			id = e.Value
		case f.kind == objects && e.Kind == yaml.MappingNode:
			v = r.object(f.path+"[]", path, e, e)
			if k := r.given[join(path, f.key)]; k != nil && k.Kind == yaml.ScalarNode {
				id, at = k.Value, k
			}
		default:
			r.say(e, path, RuleType, f.wants()[0], "is %s", kindOf(e))
		}
		if line, twice := seen[id]; twice && id != "" && f.key != "" {
			r.say(at, path, RuleUnique, "name each only once", "%s is in the list on line %d already", quote(id), line)
		} else {
			seen[id] = at.Line
		}
		clean.Content = append(clean.Content, v)
	}
	return clean
}

// text holds a text against its row of the table.
func (r *reader) text(f field, path string, n *yaml.Node) *yaml.Node {
	s := n.Value
	if n.Tag != "!!str" {
		r.say(n, path, RuleType, inQuotes(s), "is %s, not a text", kindOf(n))
	}
	r.readable(path, n, f.oneLine())
	if len(f.values) > 0 && !slices.Contains(f.values, s) {
		r.say(n, path, RuleEnum, f.wants()[0], "%s isn't a value of this field", quote(s))
	}
	if count := utf8.RuneCountInString(s); f.max > 0 && count > f.max {
		r.say(n, path, RuleMaxLength, f.wants()[0], "has %d characters", count)
	}
	if f.shape != nil && !f.shape.ok(s) {
		r.say(n, path, f.shape.rule, f.wants()[0], "%s isn't written as it must be", quote(s))
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// readable refuses characters that nobody sees: in what is read on one line, its breaks too.
func (r *reader) readable(path string, n *yaml.Node, oneLine bool) {
	may, remedy := lines, "write plain readable text"
	if oneLine {
		may, remedy = "", remedy+" on one line"
	}
	if c, bad := hidden(n.Value, may); bad {
		r.say(n, path, RuleCharacters, remedy, "holds the character %U, which nobody sees", c)
	}
}

// free reads values that no table names, and leaves what JSON can say too.
func (r *reader) free(path string, n *yaml.Node, depth int) *yaml.Node {
	if !r.plain(path, n) {
		return nil
	}
	if depth > maxDepth {
		r.say(n, path, RuleMaxDepth, fmt.Sprintf("keep it within %d levels", maxDepth), "is nested too deep")
		return nil
	}
	clean := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value}
	switch n.Kind {
	case yaml.MappingNode:
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if !r.key(path, key, seen) {
				continue
			}
			r.readable(join(path, key.Value), key, true)
			if v := r.free(join(path, key.Value), n.Content[i+1], depth+1); v != nil {
				clean.Content = append(clean.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key.Value}, v)
			}
		}
	case yaml.SequenceNode:
		for i, e := range n.Content {
			if v := r.free(fmt.Sprintf("%s[%d]", path, i), e, depth+1); v != nil {
				clean.Content = append(clean.Content, v)
			}
		}
	default:
		r.readable(path, n, false)
		var f float64
		switch {
		case n.Tag == "!!timestamp":
			clean.Tag = "!!str"
		case n.Tag == "!!float" && (n.Decode(&f) != nil || math.IsInf(f, 0) || math.IsNaN(f)):
			r.say(n, path, RuleType, inQuotes(n.Value), "isn't a number that JSON knows")
			return nil
		}
	}
	return clean
}

// relate holds the file against one rule across fields.
func (r *reader) relate(rel relation) {
	parent, _ := cutLast(rel.path)
	at := r.place[parent]
	if at == nil {
		return // the parent is missing, and was missed
	}
	f, n := fieldAt[rel.path], r.given[rel.path]
	switch rel.must {
	case mustNotPrecede:
		end, begin := r.value(rel.path), r.value(rel.notBefore)
		if shapeMonth.ok(end) && shapeMonth.ok(begin) && end < begin {
			r.say(n, rel.path, rel.rule, "write a month from "+quote(begin)+" on", "%s comes before %s, which is %s", quote(end), rel.notBefore, quote(begin))
		}
		return
	case mustBeGiven:
		if n != nil {
			return
		}
	case mustBeAbsent:
		if n == nil {
			return
		}
	}
	if slices.Contains(rel.in, r.value(rel.when)) == rel.not {
		return
	}
	because := rel.condition()
	switch {
	case rel.must == mustBeGiven:
		r.say(at, rel.path, rel.rule, f.wants()[0], "is missing, while %s", because)
	case rel.must == mustBeAbsent && rel.when == rel.path:
		r.say(n, rel.path, rel.rule, rel.why[0], "is %s", quote(n.Value))
	case rel.must == mustBeAbsent:
		r.say(n, rel.path, rel.rule, "leave it out: "+rel.why[0], "is given, while %s", because)
	case n == nil && f.tier == tierAlways:
		// It was missed already.
	case n == nil:
		r.say(at, rel.path, rel.rule, "write "+quoteAll(rel.want, " or ")+", or correct "+rel.when, "is missing, while %s", because)
	case n.Kind == yaml.ScalarNode && !slices.Contains(rel.want, n.Value):
		r.say(n, rel.path, rel.rule, "write "+quoteAll(rel.want, " or ")+", or correct "+rel.when, "is %s, while %s", quote(n.Value), because)
	}
}

// value is what a field of text says; empty where it says nothing.
func (r *reader) value(path string) string {
	if n := r.given[path]; n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// join makes a path. A name that the file made up is quoted unless it is as plain as the table's.
func join(path, name string) string {
	if !plainName.MatchString(name) || redact.Secret(name) != "" {
		name = quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func null(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style&yaml.TaggedStyle == 0
}
func blank(n *yaml.Node) bool { return strings.TrimSpace(n.Value) == "" || null(n) }

// silent says whether a value that no table names says nothing, however deep.
func silent(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			if !silent(n.Content[i]) {
				return false
			}
		}
		return true
	case yaml.SequenceNode:
		return !slices.ContainsFunc(n.Content, func(e *yaml.Node) bool { return !silent(e) })
	}
	return n.Kind == yaml.ScalarNode && blank(n)
}

// kindOf names what a node is.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.Tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "a single value"
}
