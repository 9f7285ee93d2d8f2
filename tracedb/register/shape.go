package register

import (
	"io/fs"
	"net/mail"
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// shape is how a text is written.
type shape struct {
	rule string    // that is broken when ok says no
	is   [2]string // what it is, in English and Dutch
	ok   func(string) bool
}

// The shapes. The register's instructions ask for https where it is SecureLink, for any link elsewhere.
var (
	shapeID = &shape{RulePattern, [2]string{
		`"alg-" and eight lower-case letters or digits`, `"alg-" en acht kleine letters of cijfers`}, matches(`^alg-[a-z0-9]{8}$`)}
	shapeMonth = &shape{RulePattern, [2]string{
		`a year and month, such as "2026-01"`, `jaar en maand, zoals "2026-01"`}, matches(`^[0-9]{4}-(0[1-9]|1[0-2])$`)}
	shapeLars = &shape{RulePattern, [2]string{
		"the eight digits that the register gave", "de acht cijfers die het register gaf"}, matches(`^[0-9]{8}$`)}
	shapeRequirement = &shape{RulePattern, [2]string{
		`a requirement's URN from the Algoritmekader, such as "urn:nl:ak:ver:bzk-01"`,
		`de URN van een vereiste uit het Algoritmekader, zoals "urn:nl:ak:ver:bzk-01"`}, matches(`^urn:nl:ak:ver:[a-z]+-[0-9]+$`)}
	shapeMeasure = &shape{RulePattern, [2]string{
		`a measure's URN from the Algoritmekader, such as "urn:nl:ak:mtr:imp-04"`,
		`de URN van een maatregel uit het Algoritmekader, zoals "urn:nl:ak:mtr:imp-04"`}, matches(`^urn:nl:ak:mtr:[a-z]+-[0-9]+$`)}
	shapeSHA256 = &shape{RulePattern, [2]string{
		"a SHA-256 as 64 lower-case hex digits", "een SHA-256 van 64 hexadecimale cijfers in kleine letters"}, matches(`^[0-9a-f]{64}$`)}

	shapeEmail = &shape{RuleFormat, [2]string{
		"an e-mail address", "een e-mailadres"}, email}
	shapeContact = &shape{RuleFormat, [2]string{
		"an e-mail address or a link that begins with https://", "een e-mailadres of een link die begint met https://"},
		func(s string) bool { return email(s) || link(s, "https") }}
	shapeLink = &shape{RuleFormat, [2]string{
		"a link that begins with https:// or http://", "een link die begint met https:// of http://"},
		func(s string) bool { return link(s, "https") || link(s, "http") }}
	shapeSecureLink = &shape{RuleFormat, [2]string{
		"a link that begins with https://", "een link die begint met https://"},
		func(s string) bool { return link(s, "https") }}

	shapeURI = &shape{RulePath, [2]string{
		"a path in the repository, such as data/dikes.csv, or a URI with a scheme, such as dvc://store/dikes",
		"een pad in de repository, zoals data/dikes.csv, of een URI met een schema, zoals dvc://store/dikes"},
		func(s string) bool { return local(s) || remote(s) }}
)

func matches(pattern string) func(string) bool { return regexp.MustCompile(pattern).MatchString }

// email takes the bare address only: no name before it, and no comment in it.
func email(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}

// link takes no credentials in the address: the register is public.
func link(s, scheme string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == scheme && u.Hostname() != "" && u.User == nil && !strings.ContainsFunc(s, unicode.IsSpace)
}

// scheme needs two letters, so that a drive of Windows isn't one.
var scheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+):.`)

// remote says whether the data is elsewhere. A file: URI would be a place on whoever's machine.
func remote(s string) bool {
	m := scheme.FindStringSubmatch(s)
	return m != nil && !strings.EqualFold(m[1], "file") && !strings.ContainsFunc(s, unicode.IsSpace)
}

// local says whether it is a path in the repository, in the one way in which a path is written.
func local(s string) bool {
	return fs.ValidPath(s) && s != "." && !strings.ContainsAny(s, `\:`)
}

// hidden finds characters that show nothing, or that turn the text around them: a register is read by
// people, who must see what is there.
func hidden(s string) (rune, bool) {
	for _, c := range s {
		switch {
		case c == '\n' || c == '\t' || c == '\r':
		case unicode.IsControl(c), c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069, c == unicode.ReplacementChar:
			return c, true
		}
	}
	return 0, false
}
