package ingest

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// detector finds one sort of secret.
type detector struct {
	what string
	// marks are what it begins with, in lower case; the pattern is tried wherever one stands.
	marks   []string
	pattern *regexp.Regexp
	// with is what the text must hold besides; most texts with an address in them have no @.
	with string
	// word wants the mark at the beginning of a word.
	word bool
	// group is the part of the match that is the secret; 0: all of it.
	group int
	// secret looks closer; nil: it is one.
	secret func(m match) bool
}

// match is where a pattern matched.
type match struct {
	text         string
	at, from, to int // the mark's place, and the secret's
}

func (m match) value() string  { return m.text[m.from:m.to] }
func (m match) before() string { return m.text[m.at:m.from] }

const (
	quoted = `[\\"'` + "`" + `]*`
	// value is a word of free text, up to what usually ends one.
	value = `[^\s\\"'` + "`" + `,;&<>(){}\[\]]+`
)

// names are what secrets are called, or what their names end in: DB_PASSWORD.
var names = []string{
	"password", "passwd", "passphrase", "pwd", "secret", "token", "credential",
	"api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "private_key", "private-key", "privatekey",
}

// detectors are in the order in which they are tried: what is recognised for certain comes first.
// Records hold commits, digests, algorithm ids, UUIDs and public keys everywhere, so nothing is a
// secret for being long and random; it must be marked as one.
var detectors = []detector{
	{what: "private-key", marks: []string{"-----begin "}, pattern: regexp.MustCompile(`^-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)`)},
	{what: "private-key", marks: []string{"private+key+"}, pattern: regexp.MustCompile(`^PRIVATE\+KEY\+[^\s"'\\]+`)},
	{what: "private-key", marks: []string{"age-secret-key-"}, pattern: regexp.MustCompile(`^AGE-SECRET-KEY-1[0-9A-Z]{10,}`)},
	{what: "authorization", marks: []string{"authorization"}, pattern: regexp.MustCompile(`^(?i)authorization` + quoted + `\s*[:=]\s*` + quoted + `((?:[a-z]+ +)?` + value + `)`), group: 1, secret: isAuthorization},
	{what: "cookie", marks: []string{"cookie"}, pattern: regexp.MustCompile(`^(?i)cookie` + quoted + `:\s*` + quoted + `([^\s=;,"']+=[^\r\n"']+)`), group: 1},
	{what: "jwt", marks: []string{"eyj"}, pattern: regexp.MustCompile(`^eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.?[A-Za-z0-9_-]*`)},
	{what: "bearer", word: true, marks: []string{"bearer"}, pattern: regexp.MustCompile(`^(?i)bearer\s+([a-z0-9._~+/=-]{12,})`), group: 1, secret: isRandom},
	{what: "basic", word: true, marks: []string{"basic"}, pattern: regexp.MustCompile(`^(?i)basic\s+([a-z0-9+/]{6,}={0,2})`), group: 1, secret: isBasic},
	{what: "github-token", word: true, marks: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, pattern: regexp.MustCompile(`^(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{20,})`)},
	{what: "gitlab-token", word: true, marks: []string{"glpat-", "gldt-", "glrt-"}, pattern: regexp.MustCompile(`^gl(?:pat|dt|rt)-[A-Za-z0-9_-]{16,}`)},
	{what: "gitea-secret", word: true, marks: []string{"gto_"}, pattern: regexp.MustCompile(`^gto_[a-z0-9]{40,}`)},
	{what: "aws-key", word: true, marks: []string{"akia", "asia"}, pattern: regexp.MustCompile(`^(?:AKIA|ASIA)[A-Z2-7]{16}\b`)},
	{what: "slack-token", word: true, marks: []string{"xox"}, pattern: regexp.MustCompile(`^xox[abeoprs]-[A-Za-z0-9-]{10,}`)},
	{what: "google-key", word: true, marks: []string{"aiza"}, pattern: regexp.MustCompile(`^AIza[0-9A-Za-z_-]{35}`)},
	{what: "npm-token", word: true, marks: []string{"npm_"}, pattern: regexp.MustCompile(`^npm_[A-Za-z0-9]{36}`)},
	{what: "docker-token", word: true, marks: []string{"dckr_"}, pattern: regexp.MustCompile(`^dckr_[a-z]{2,4}_[A-Za-z0-9_-]{20,}`)},
	{what: "api-key", word: true, marks: []string{"sk-"}, pattern: regexp.MustCompile(`^sk-[A-Za-z0-9_-]{20,}`), secret: isMixed},
	{what: "password", marks: []string{"://"}, with: "@", pattern: regexp.MustCompile(`^://[^\s/?#:@"'<>\[\]]*:([^\s/?#@"'<>]+)@`), group: 1, secret: notBlank},
	{what: "token", marks: []string{"://"}, with: "@", pattern: regexp.MustCompile(`^://([A-Za-z0-9_.~-]{20,})@`), group: 1, secret: isRandom},
	{what: "secret", marks: names, pattern: regexp.MustCompile(`^[A-Za-z0-9_-]+` + quoted + `\s*(?::=|=>|==?|:)\s*` + quoted + `(` + value + `)`), group: 1, secret: isAssigned},
	{what: "secret", marks: names, pattern: regexp.MustCompile(`^[A-Za-z0-9_-]+\s+` + quoted + `(` + value + `)`), group: 1, secret: isArgument},
}

// marked is a mark and the detectors, as bits, that it is of.
type marked struct {
	mark      string
	detectors uint64
}

// byFirst are all marks, by their first letter: one walk over a text finds which detectors it is
// worth trying, mostly none.
var byFirst = func() (out [256][]marked) {
	for i, d := range detectors {
		for _, mark := range d.marks {
			list := out[mark[0]]
			if j := slices.IndexFunc(list, func(m marked) bool { return m.mark == mark }); j >= 0 {
				list[j].detectors |= 1 << i
				continue
			}
			out[mark[0]] = append(list, marked{mark, 1 << i})
		}
	}
	return out
}()

// present are the detectors, as bits, of which lower holds a mark.
func present(lower string) (bits uint64) {
	for i := range len(lower) {
		for _, m := range byFirst[lower[i]] {
			if bits&m.detectors != m.detectors && strings.HasPrefix(lower[i:], m.mark) {
				bits |= m.detectors
			}
		}
	}
	return bits
}

// rounds bound how often a text is looked through until nothing more is found. What taking one secret
// out brings to light is rare; twice is made up.
const rounds = 4

// Redact returns s with every secret in it replaced by [redacted:<what>], and what was found. Doing
// it again changes nothing.
func Redact(s string) (string, []string) {
	var found []string
	for range rounds {
		before := len(found)
		s = redactOnce(s, func(what string) { found = append(found, what) })
		if len(found) == before {
			return s, found
		}
	}
	// Somebody made a text that never comes to rest.
	return redacted("text"), append(found, "text")
}

// Secret says what sort of secret s holds; empty if none. It is less keen than Redact, for texts that
// can't be altered and would be refused: a word after "token:" isn't enough, it must look like one.
func Secret(s string) string {
	lower := lowerASCII(s)
	bits := present(lower)
	for i, d := range detectors {
		if bits&(1<<i) == 0 {
			continue
		}
		for _, m := range d.find(s, lower) {
			if d.what != "secret" || isRandom(m) {
				return d.what
			}
		}
	}
	return ""
}

// taken is where a secret was before.
var taken = regexp.MustCompile(`^\[redacted:[a-z-]+\]$`)

func redacted(what string) string { return "[redacted:" + what + "]" }

func redactOnce(s string, note func(what string)) string {
	lower := lowerASCII(s)
	bits := present(lower)
	for i, d := range detectors {
		if bits&(1<<i) == 0 {
			continue
		}
		matches := d.find(s, lower)
		if len(matches) == 0 {
			continue
		}
		var b strings.Builder
		done := 0
		for _, m := range matches {
			b.WriteString(s[done:m.from])
			b.WriteString(redacted(d.what))
			done = m.to
			note(d.what)
		}
		b.WriteString(s[done:])
		s = b.String()
		lower = lowerASCII(s)
	}
	return s
}

// find returns every secret of the detector's sort, in order, none within another.
func (d detector) find(s, lower string) []match {
	if !strings.Contains(s, d.with) {
		return nil
	}
	var out []match
	for _, mark := range d.marks {
		for at := 0; ; at += len(mark) {
			i := strings.Index(lower[at:], mark)
			if i < 0 {
				break
			}
			at += i
			if d.word && at > 0 && isWord(s[at-1]) {
				continue
			}
			p := d.pattern.FindStringSubmatchIndex(s[at:])
			if p == nil {
				continue
			}
			m := match{text: s, at: at, from: at + p[2*d.group], to: at + p[2*d.group+1]}
			if taken.MatchString(m.value()) || d.secret != nil && !d.secret(m) {
				continue
			}
			out = append(out, m)
		}
	}
	if len(out) < 2 {
		return out
	}
	slices.SortStableFunc(out, func(a, b match) int { return a.from - b.from })
	end := 0
	return slices.DeleteFunc(out, func(m match) bool {
		if m.from < end {
			return true
		}
		end = m.to
		return false
	})
}

// lowerASCII is s with A to Z in lower case and everything else as it is, so that places in the one
// are places in the other.
func lowerASCII(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' }) {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isRandom says whether a word looks made by a machine: long enough, with letters and digits.
func isRandom(m match) bool {
	v := m.value()
	return len(v) >= 8 && strings.ContainsAny(v, "0123456789") && strings.ContainsFunc(v, isLetter) && !isPublic(v)
}

// isMixed wants capitals, too, which names with dashes don't have.
func isMixed(m match) bool {
	v := m.value()
	return isRandom(m) && strings.ToLower(v) != v && strings.ToUpper(v) != v
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// isPublic says whether a word is of a shape that is never secret: a digest with its algorithm, the
// fingerprint of a key, an algorithm id, a UUID, a time, a place in a file, an address on the net.
func isPublic(v string) bool { return public.MatchString(v) }

var public = regexp.MustCompile(`^(?:(?i:sha(?:1|256|384|512)|md5)[:-].*|alg-[a-z0-9]{8}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?|/.*|\./.*|[a-z][a-z0-9+.-]*://.*)$`)

// isBasic says whether a word is what HTTP's basic authentication sends: base64 of user:password.
func isBasic(m match) bool {
	v := strings.TrimRight(m.value(), "=")
	b, err := base64.RawStdEncoding.DecodeString(v)
	return err == nil && utf8.Valid(b) && strings.Contains(string(b), ":")
}

// schemes are words that may follow "Authorization:" before the secret.
var schemes = []string{"basic", "bearer", "token", "digest", "negotiate", "apikey"}

// isAuthorization says whether what follows "authorization:" is one; prose goes on in plain words.
func isAuthorization(m match) bool {
	scheme, rest, two := strings.Cut(m.value(), " ")
	if two && slices.Contains(schemes, strings.ToLower(scheme)) {
		return !isBlank(strings.TrimSpace(rest))
	}
	return !two && isRandom(m)
}

// name is the whole word that a mark ends, in lower case: db_password for password.
func (m match) name() string {
	from := m.at
	for from > 0 && (isWord(m.text[from-1]) || m.text[from-1] == '-' || m.text[from-1] == '.') {
		from--
	}
	to := m.at
	for to < len(m.text) && (isWord(m.text[to]) || m.text[to] == '-') {
		to++
	}
	return lowerASCII(m.text[from:to])
}

// named says whether a word is a secret's name: it ends in one of the names, in its plural, or that and a number.
func named(word string) bool {
	word = strings.TrimSuffix(strings.TrimRight(word, "0123456789_-"), "s")
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(word, n) })
}

// isAssigned says whether the value that a name is given is a secret.
func isAssigned(m match) bool {
	name, v := m.name(), strings.TrimRight(m.value(), ".:!?")
	switch {
	case !named(name) || isBlank(v) || isPublic(v):
		return false
	case isNumber(v) && !strings.Contains(name, "pass") && !strings.Contains(name, "pwd"):
		return false // max_tokens: 4096
	case strings.Contains(m.before(), "="):
		return true
	}
	// After a colon prose may go on: "token: expired".
	return len(v) >= 6 && strings.ContainsFunc(v, func(r rune) bool { return !isLetter(r) && r != '-' && r != '.' })
}

// isArgument says whether the word after --password or the like is a secret.
func isArgument(m match) bool {
	name, v := m.name(), m.value()
	return strings.HasPrefix(name, "--") && named(name) && !strings.HasPrefix(v, "-") && !isBlank(v) && !isPublic(v) && !isNumber(v)
}

func isNumber(v string) bool { return strings.Trim(v, "0123456789.,_%") == "" }

func notBlank(m match) bool { return !isBlank(m.value()) }

// isBlank says whether a word stands where a secret would be, or says that there is none.
func isBlank(v string) bool {
	switch strings.ToLower(v) {
	case "", "true", "false", "null", "nil", "none", "yes", "no", "required", "optional", "redacted", "hidden", "masked", "string", "undefined", "empty", "unset":
		return true
	}
	if strings.HasPrefix(v, "$") || strings.HasPrefix(v, "%") || strings.HasPrefix(v, "{{") {
		return true // a variable's name
	}
	return strings.Trim(v, "*.-_•…") == "" || len(v) > 1 && strings.Trim(strings.ToLower(v), "x") == ""
}
