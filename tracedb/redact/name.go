package redact

import (
	"regexp"
	"slices"
	"strings"
)

// nameParts are what a secret's name contains.
var nameParts = []string{
	"pass", "pwd", "wachtwoord", "secret", "token", "credential", "amz-signature",
	"api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "private_key", "private-key", "privatekey",
	"account_key", "account-key", "accountkey",
}

// named is the name of a secret, or what such a name ends in (DB_PASSWORD), in its plural, and with a
// number. Pass is only a part of its own: DB_PASS, not bypass.
var named = regexp.MustCompile(`(?:(?i:password|passwd|passphrase|pwd|wachtwoord|secret|token|credential|amz-signature|(?:secret|api|access|private|account)[_-]?key(?:_base)?|(?:^|[_.-])pass)|[a-z]Pass)s?[0-9_-]*$`)

// passwords are what may be a number alone: max_tokens=4096 is no secret.
var passwords = regexp.MustCompile(`(?i)pass.|.pass|pwd|wachtwoord`)

// word is where the whole word begins and ends that the mark is in: db_password for password.
func (m *match) word() (from, to int) {
	const most = 100 // more is no name
	from, to = m.at, m.at
	for from > max(0, m.at-most) && (isWord(m.text[from-1]) || m.text[from-1] == '-' || m.text[from-1] == '.') {
		from--
	}
	for to < len(m.text) && (isWord(m.text[to]) || m.text[to] == '-') {
		to++
	}
	return from, to
}

// isAssigned says whether the value that a name is given is a secret.
func isAssigned(m *match) bool {
	from, to := m.word()
	name, sign, v := m.text[from:to], m.text[to:m.from], strings.TrimRight(m.value(), ".:!?")
	quotes := m.unquote(sign)
	switch {
	case !named.MatchString(name) || isBlank(v) || isPublic(v):
		return false
	case !passwords.MatchString(name) && (isNumber(v) || isVersion(v)):
		return false
	case sign == ":" && (m.inPath(from) || m.inCPE(from)):
		return false
	case quotes && !slices.Contains(said, lowerASCII(v)):
		return true
	case strings.EqualFold(name, "pass"): // test results count those
		return len(v) >= 6 && strings.ContainsAny(v, digits) && strings.ContainsFunc(v, isLetter)
	case strings.Contains(sign, "="):
		return true
	case strings.HasPrefix(v, ":") || strings.HasSuffix(m.value(), ":"):
		return false // token::parse, and "token: oauth2: no answer"
	case slices.Contains(said, lowerASCII(v)):
		return false
	case passwords.MatchString(name) && m.alone(from, sign):
		return len(v) >= 4
	}
	// After a colon prose may go on: "token: expired".
	return len(v) >= 6 && strings.ContainsFunc(v, func(r rune) bool { return !isLetter(r) && r != '-' && r != '.' })
}

// isArgument says whether the word after --password or the like is a secret.
func isArgument(m *match) bool {
	from, to := m.word()
	name, v := m.text[from:to], m.value()
	m.unquote(m.text[to:m.from])
	return strings.HasPrefix(name, "--") && named.MatchString(name) && !strings.HasPrefix(v, "-") && !isBlank(v) && !isPublic(v) && !isNumber(v)
}

// unquote says whether the secret is in quotes, with which before ends, and moves its end to where they
// close. In text within text both have a backslash. What isn't closed is an apostrophe, or was cut off.
func (m *match) unquote(before string) bool {
	n := len(before) - 1
	if n < 0 || before[n] != '"' && before[n] != '\'' {
		return false
	}
	escaped := n > 0 && before[n-1] == '\\'
	for i := m.to; i < min(m.to+reach, len(m.text)); i++ {
		switch c := m.text[i]; {
		case c == '\n' || c == '\r':
			return false
		case c == before[n] && (m.text[i-1] == '\\') == escaped:
			m.to = i
			if escaped {
				m.to--
			}
			return true
		}
	}
	return m.to == len(m.text)
}

// alone says whether a name and its value are all that is on their line, as in a file of settings.
func (m *match) alone(name int, sign string) bool {
	before, after := strings.TrimRight(m.text[:name], " \t\"'-"), strings.TrimLeft(m.text[m.to:], " \t\"',")
	return !strings.Contains(sign, "\n") && (before == "" || before[len(before)-1] == '\n') && (after == "" || after[0] == '\r' || after[0] == '\n')
}

// inPath says whether a name is the end of a path: what follows is a tag, a place in a file, a part of a
// test.
func (m *match) inPath(name int) bool { return name > 0 && m.text[name-1] == '/' }

// inCPE says whether a name is a part of a platform's name in a list of vulnerabilities.
func (m *match) inCPE(name int) bool {
	const most = 256
	whole := m.text[max(0, name-most):name]
	whole = whole[strings.LastIndexAny(whole, " \t\r\n\"'`,;<>()[]{}")+1:]
	return strings.HasPrefix(lowerASCII(whole), "cpe:")
}

// isVersion says whether a word is a version, as in "jsonwebtoken": "^9.0.2".
func isVersion(v string) bool { return version.MatchString(v) }

var version = regexp.MustCompile(`^[\^~v]?[0-9]{1,4}(?:\.[0-9]{1,6}){1,3}(?:[-+.][0-9A-Za-z.+-]{1,30}|(?:a|b|rc)[0-9]{1,3})?$`)

// said are what people and programs say of a secret, in English and Dutch: it isn't the secret.
var said = []string{
	"accepted", "changed", "denied", "disabled", "encrypted", "expired", "failed", "forgotten", "generated", "incorrect", "invalid",
	"malformed", "missing", "ok", "passed", "rejected", "renewed", "reset", "revoked", "rotated", "skipped", "unknown", "wrong",
	"fout", "geen", "gewijzigd", "ingetrokken", "leeg", "onbekend", "ongeldig", "onjuist", "ontbreekt", "optioneel", "vergeten",
	"verlopen", "verplicht", "versleuteld",
}

func notBlank(m *match) bool { return !isBlank(m.value()) }

// isBlank says whether a word is a placeholder of a secret, or says that there is none.
func isBlank(v string) bool {
	switch strings.ToLower(v) {
	case "", "true", "false", "null", "nil", "none", "yes", "no", "ja", "nee", "required", "optional", "redacted", "hidden", "masked", "string", "undefined", "empty", "unset":
		return true
	}
	if strings.HasPrefix(v, "$") || strings.HasPrefix(v, "%") || strings.HasPrefix(v, "{{") || strings.HasPrefix(v, "<") {
		return true // a variable's name
	}
	return strings.Trim(v, "*.-_=•…") == "" || len(v) > 1 && strings.Trim(strings.ToLower(v), "x") == ""
}
