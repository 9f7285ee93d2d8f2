// Package redact finds secrets in texts and takes them out. It owns how passwords, tokens and private keys
// look; it refuses to call anything secret for being long and random, since digests, commits and public
// keys are that too.
package redact

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// detector finds one sort of secret.
type detector struct {
	what string
	// marks are what it begins with, in lower case; the pattern is tried wherever one occurs.
	marks   []string
	pattern *regexp.Regexp
	// with is what the text must hold besides; most texts with an address in them have no @.
	with string
	// word wants the mark at the beginning of a word.
	word bool
	// group is the part of the match that is the secret; 0: all of it.
	group int
	// secret looks closer, and may move the secret's end; nil: it is one.
	secret func(m *match) bool
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

// detectors are in the order in which they are tried: what is recognised for certain comes first.
// Records hold commits, digests, algorithm ids, UUIDs and public keys everywhere, so nothing is a
// secret for being long and random; it must be marked as one.
var detectors = []detector{
	{what: "private-key", marks: []string{"-----begin "}, pattern: regexp.MustCompile(`^-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)`)},
	{what: "private-key", marks: []string{"private+key+"}, pattern: regexp.MustCompile(`^PRIVATE\+KEY\+[^\s"'\\]+`)},
	{what: "private-key", marks: []string{"age-secret-key-"}, pattern: regexp.MustCompile(`^AGE-SECRET-KEY-1[0-9A-Z]{10,}`)},
	{what: "private-key", word: true, marks: []string{"ls0tls1crudjti"}, pattern: regexp.MustCompile(`^LS0tLS1CRUdJTi[A-Za-z0-9+/]*(?:\s+[A-Za-z0-9+/]{20,})*(?:\s+[A-Za-z0-9+/]+=)?=*`), secret: isPrivateKey},
	{what: "authorization", marks: []string{"aws4-hmac-sha256"}, pattern: regexp.MustCompile(`^(?i)aws4-hmac-sha256\s+([a-z]+=[^\s,"'\\]+(?:,\s*[a-z]+=[^\s,"'\\]+)*)`), group: 1},
	{what: "authorization", marks: []string{"authorization"}, pattern: regexp.MustCompile(`^(?i)authorization` + quoted + `\s*[:=]\s*` + quoted + `((?:[a-z0-9-]+ +)?` + value + `)`), group: 1, secret: isAuthorization},
	{what: "cookie", marks: []string{"cookie"}, pattern: regexp.MustCompile(`^(?i)cookie` + quoted + `:\s*` + quoted + `([^\s=;,"']+=[^\r\n"']+)`), group: 1},
	{what: "jwt", marks: []string{"eyj"}, pattern: regexp.MustCompile(`^eyJ[A-Za-z0-9_-]{8,}\.(?:eyJ[A-Za-z0-9_-]{8,}\.?[A-Za-z0-9_-]*|[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*)`)},
	{what: "bearer", word: true, marks: []string{"bearer"}, pattern: regexp.MustCompile(`^(?i)bearer\s+([a-z0-9._~+/=-]{12,})`), group: 1, secret: isRandom},
	{what: "basic", word: true, marks: []string{"basic"}, pattern: regexp.MustCompile(`^(?i)basic\s+([a-z0-9+/]{6,}={0,2})`), group: 1, secret: isBasic},
	{what: "basic", marks: []string{"auth"}, pattern: regexp.MustCompile(`^(?i)auth` + quoted + `\s*[:=]\s*` + quoted + `([a-z0-9+/]{6,}={0,2})`), group: 1, secret: isBasic},
	{what: "github-token", word: true, marks: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, pattern: regexp.MustCompile(`^(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{20,})`)},
	{what: "gitlab-token", word: true, marks: []string{"glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-"}, pattern: regexp.MustCompile(`^gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_-]{16,}`)},
	{what: "gitea-secret", word: true, marks: []string{"gto_"}, pattern: regexp.MustCompile(`^gto_[a-z0-9]{40,}`)},
	{what: "aws-key", word: true, marks: []string{"akia", "asia"}, pattern: regexp.MustCompile(`^(?:AKIA|ASIA)[A-Z2-7]{16}\b`)},
	{what: "slack-token", word: true, marks: []string{"xox"}, pattern: regexp.MustCompile(`^xox[abeoprs]-[A-Za-z0-9-]{10,}`)},
	{what: "google-key", word: true, marks: []string{"aiza"}, pattern: regexp.MustCompile(`^AIza[0-9A-Za-z_-]{35}`)},
	{what: "npm-token", word: true, marks: []string{"npm_"}, pattern: regexp.MustCompile(`^npm_[A-Za-z0-9]{36}`)},
	{what: "docker-token", word: true, marks: []string{"dckr_"}, pattern: regexp.MustCompile(`^dckr_[a-z]{2,4}_[A-Za-z0-9_-]{20,}`)},
	{what: "pypi-token", word: true, marks: []string{"pypi-"}, pattern: regexp.MustCompile(`^pypi-[A-Za-z0-9_-]{20,}`), secret: isKeyed},
	{what: "vault-token", word: true, marks: []string{"hvs.", "hvb.", "hvr."}, pattern: regexp.MustCompile(`^hv[sbr]\.[A-Za-z0-9_-]{20,}`), secret: isKeyed},
	{what: "google-token", word: true, marks: []string{"ya29."}, pattern: regexp.MustCompile(`^ya29\.[A-Za-z0-9_-]{20,}`)},
	{what: "api-key", word: true, marks: []string{"sg."}, pattern: regexp.MustCompile(`^SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`)},
	{what: "api-key", word: true, marks: []string{"hf_"}, pattern: regexp.MustCompile(`^hf_[A-Za-z0-9]{30,}`)},
	{what: "api-key", word: true, marks: []string{"sk_live_", "sk_test_", "rk_live_", "rk_test_"}, pattern: regexp.MustCompile(`^[sr]k_(?:live|test)_[A-Za-z0-9]{16,}`)},
	{what: "api-key", word: true, marks: []string{"sk-"}, pattern: regexp.MustCompile(`^sk-[A-Za-z0-9_-]{20,}`), secret: isKeyed},
	{what: "password", marks: []string{"://"}, with: "@", pattern: regexp.MustCompile(`^://[^\s/?#:@"'<>\[\]]*:([^\s"'<>]+)`), group: 1, secret: isUserinfo},
	{what: "password", marks: []string{"curl"}, pattern: regexp.MustCompile(`^(?i)curl(?:[^\r\n]|\\\r?\n)*?\s-(?:[a-z]*u\s*|-(?:proxy-)?user[\s=]+)` + quoted + `[^\s"'\\:]+:([^\s"'\\]+)`), group: 1, secret: notBlank},
	{what: "token", marks: []string{"://"}, with: "@", pattern: regexp.MustCompile(`^://([A-Za-z0-9_.~-]{20,})@`), group: 1, secret: isRandom},
	{what: "secret", marks: nameParts, pattern: regexp.MustCompile(`^[A-Za-z0-9_-]+` + quoted + `\s*(?::=|=>|==?|:)\s*` + quoted + `(` + value + `)`), group: 1, secret: isAssigned},
	{what: "secret", marks: nameParts, pattern: regexp.MustCompile(`^[A-Za-z0-9_-]+\s+` + quoted + `(` + value + `)`), group: 1, secret: isArgument},
}

// rounds bound how often a text is looked through until nothing more is found. What taking one secret
// out brings to light is rare; twice is made up.
const rounds = 4

// Text returns s with every secret in it replaced by [redacted:<what>], and what was found. Doing
// it again changes nothing.
func Text(s string) (string, []string) {
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

// Value is Text for a value on its own, such as an address in a setting: the password in it may
// hold what ends one in running text, blanks and quotes.
func Value(s string) string {
	address, digest := s, ""
	if i := strings.LastIndex(s, "@sha256:"); i >= 0 {
		address, digest = s[:i], s[i:]
	}
	s, _ = Text(userinfo.ReplaceAllString(address, "${1}"+redacted("password")+"@"))
	return s + digest
}

// userinfo is the user of an address with a password, up to the last @.
var userinfo = regexp.MustCompile(`(?s)(://[^/?#@:]*:).*@`)

// Secret says what sort of secret s holds; empty if none. It is less keen than Text, for texts that
// can't be altered and would be refused: a word after "token:" isn't enough, it must look like one.
func Secret(s string) string {
	lower := lowerASCII(s)
	for _, d := range detectors {
		for _, m := range d.find(s, lower) {
			if d.what != "secret" || isRandom(&m) {
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
	for _, d := range detectors {
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

// reach is how far a pattern looks at first. What comes near it is looked at whole once it is known to be
// a secret: else a text of nothing but beginnings would be read to its end for each of them.
const reach = 512

// at finds the secret whose mark is at that place.
func (d detector) at(s string, at int) (match, bool) {
	if d.word && inWord(s, at) {
		return match{}, false
	}
	for end := min(at+reach, len(s)); ; end = len(s) {
		p := d.pattern.FindStringSubmatchIndex(s[at:end])
		if p == nil {
			return match{}, false
		}
		m := match{text: s, at: at, from: at + p[2*d.group], to: at + p[2*d.group+1]}
		if d.secret != nil && !d.secret(&m) || taken.MatchString(m.value()) {
			return match{}, false
		}
		if at+p[1]+reach/4 < end || end == len(s) {
			return m, true
		}
	}
}

// find returns every secret of the detector's sort, in order, none within another.
func (d detector) find(s, lower string) []match {
	if !strings.Contains(s, d.with) {
		return nil
	}
	var out []match
	for _, mark := range d.marks {
		for at := 0; ; {
			i := strings.Index(lower[at:], mark)
			if i < 0 {
				break
			}
			at += i
			m, ok := d.at(s, at)
			if !ok {
				at += len(mark)
				continue
			}
			out = append(out, m)
			at = m.to
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

// inWord says whether a word goes on at that place: \n in text within text isn't part of one.
func inWord(s string, at int) bool {
	return at > 0 && isWord(s[at-1]) && !(at > 1 && s[at-2] == '\\' && strings.IndexByte("nrt", s[at-1]) >= 0)
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isRandom says whether a word looks made by a machine: long enough, with letters and digits.
func isRandom(m *match) bool {
	v := m.value()
	return len(v) >= 8 && strings.ContainsAny(v, digits) && strings.ContainsFunc(v, isLetter) && !strings.ContainsAny(v, " \t") && !isPublic(v)
}

// isKeyed distinguishes a key from a name with dashes, of which any project has some: it has capitals, or a part
// that no name would have.
func isKeyed(m *match) bool {
	v := m.value()
	if isRandom(m) && strings.ToLower(v) != v && strings.ToUpper(v) != v {
		return true
	}
	return slices.ContainsFunc(strings.Split(v, "-"), func(part string) bool {
		return len(part) >= 16 && strings.ContainsAny(part, digits) && strings.ContainsFunc(part, isLetter)
	})
}

const digits = "0123456789"

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

func isNumber(v string) bool { return strings.Trim(v, digits+".,_%") == "" }

// isPublic says whether a word is of a shape that is never secret: a digest with its algorithm, the
// fingerprint of a key, an algorithm id, a UUID, a time, a place in a file, an address on the net, an
// image by its digest.
func isPublic(v string) bool { return public.MatchString(v) }

var public = regexp.MustCompile(`^(?:(?i:sha(?:1|256|384|512)|md5)[:-].*|alg-[a-z0-9]{8}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?|/.*|\./.*|[a-z][a-z0-9+.-]*://.*|.*@sha256:[0-9a-f]{64})$`)

// isPrivateKey says whether a PEM in base64 is of a private key; certificates are everybody's.
func isPrivateKey(m *match) bool {
	const header = 64
	b, _ := base64.RawStdEncoding.DecodeString(m.value()[:min(header, len(m.value()))&^3])
	return strings.Contains(string(b), "PRIVATE KEY")
}

// isBasic says whether a word is what HTTP's basic authentication sends: base64 of user:password.
func isBasic(m *match) bool {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(m.value(), "="))
	return err == nil && utf8.Valid(b) && strings.Contains(string(b), ":") && !strings.ContainsFunc(string(b), unicode.IsControl)
}

// schemes are words that may follow "Authorization:" before the secret.
var schemes = []string{"basic", "bearer", "token", "digest", "negotiate", "apikey", "aws4-hmac-sha256"}

// isAuthorization says whether what follows "authorization:" is one; prose goes on in plain words.
func isAuthorization(m *match) bool {
	scheme, rest, two := strings.Cut(m.value(), " ")
	if slices.Contains(schemes, strings.ToLower(scheme)) {
		return two && !isBlank(strings.TrimSpace(rest))
	}
	m.to = m.from + len(scheme)
	const word = 30 // and longer ones are rare, in Dutch too
	return isRandom(m) || len(scheme) >= word && strings.IndexFunc(scheme, func(r rune) bool { return !isLetter(r) }) < 0
}

// isUserinfo says whether what follows a colon in an address is a password, and ends it at the @ before
// the host: the first one, or a later one before the path. A port is followed by other things.
func isUserinfo(m *match) bool {
	v, _, _ := strings.Cut(m.value(), "://") // of another address
	at := strings.IndexByte(v, '@')
	if at < 0 || port.MatchString(v) {
		return false
	}
	host := v[at:]
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	last := at + strings.LastIndexByte(host, '@')
	m.to = m.from + last
	return !isBlank(m.value()) && !strings.HasPrefix(v[last:], "@sha256:")
}

var port = regexp.MustCompile(`^[0-9]{1,5}(?:[/?#,;)|]|$)`)
