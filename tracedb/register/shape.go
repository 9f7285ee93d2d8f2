package register

import (
	"io/fs"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
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
		"a path in the repository, such as data/dikes.csv, or a URI without a user, such as dvc://store/dikes, whose scheme is one of " + schemes,
		"een pad in de repository, zoals data/dikes.csv, of een URI zonder gebruiker, zoals dvc://store/dikes, waarvan het schema een is van " + schemes},
		func(s string) bool { return local(s) || remote(s) }}
)

// Data elsewhere lies in a store that has a host, or has a name that others look up. What means anything
// else, to a browser or on whoever's machine, is no place of data: javascript:, data:, file:.
var (
	stores  = []string{"dvc", "https", "http", "s3", "gs", "az", "abfs", "abfss", "hdfs", "git", "git+https", "git+ssh", "oci", "ipfs", "ftp", "sftp"}
	lookups = []string{"urn", "doi"}
	schemes = strings.Join(slices.Concat(stores, lookups), ", ")
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

// remote says whether the data is elsewhere.
func remote(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || strings.ContainsFunc(s, unicode.IsSpace) {
		return false
	}
	if slices.Contains(lookups, u.Scheme) {
		return u.Opaque != ""
	}
	return slices.Contains(stores, u.Scheme) && u.Hostname() != ""
}

// local says whether it is a path in the repository, in the one way in which a path is written.
func local(s string) bool {
	return fs.ValidPath(s) && s != "." && !strings.ContainsAny(s, `\:`)
}

// lines are the characters that nobody sees and that a text of several lines has all the same.
const lines = "\n\r\t"

// unseen are characters that show nothing, or that turn or break the text around them.
var unseen = []*unicode.RangeTable{unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point}

// hidden finds characters that nobody sees, but those that may be: a register is read by people, who must
// see what is there.
func hidden(s, may string) (rune, bool) {
	const blank = '\u2800' // braille without dots
	for _, c := range s {
		if (unicode.In(c, unseen...) || c == blank || c == unicode.ReplacementChar) && !strings.ContainsRune(may, c) {
			return c, true
		}
	}
	return 0, false
}
