package why

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

// Lengths beyond which what people wrote is cut, in letters.
const (
	maxQuote = 160
	maxValue = 1000
)

// singleLine takes out of a text what doesn't belong on one line of it: line breaks, control characters,
// and the marks that turn the direction of writing, with which one text can pose as another.
func singleLine(s string, most int) string {
	var b strings.Builder
	space, letters := false, 0
	for _, r := range s {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			space = b.Len() > 0
			continue
		case r == utf8.RuneError, unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r), unicode.Is(unicode.Cs, r):
			continue
		}
		if space {
			b.WriteByte(' ')
			letters++
		}
		space = false
		if letters >= most {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
		letters++
	}
	return b.String()
}

// abbreviate is enough of a name for people to tell two apart: a digest's or hash's start, a ServiceAccount
// without what all of them share.
func abbreviate(s string) string {
	if digest, ok := strings.CutPrefix(s, "sha256:"); ok {
		return "sha256:" + digest[:min(12, len(digest))]
	}
	if print, ok := strings.CutPrefix(s, "SHA256:"); ok {
		return "SHA256:" + print[:min(12, len(print))]
	}
	if hash.MatchString(s) {
		return s[:10]
	}
	return Account(s)
}

// Account is a ServiceAccount without what the names of all of them share, and any other name as it is.
func Account(name string) string {
	if account, ok := strings.CutPrefix(name, "system:serviceaccount:"); ok {
		return strings.Replace(account, ":", "/", 1)
	}
	return name
}

// formatTime is a time for people: the same in both languages.
func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// outcomes are the words for how something ended.
var outcomes = map[tracedb.Outcome]text.Text{
	tracedb.Passed:    text.Of("passed", "geslaagd"),
	tracedb.Failed:    text.Of("failed", "mislukt"),
	tracedb.Approved:  text.Of("approved", "goedgekeurd"),
	tracedb.Rejected:  text.Of("changes asked for", "afgekeurd"),
	tracedb.Commented: text.Of("comment", "opmerking"),
	tracedb.Allowed:   text.Of("let in", "toegelaten"),
	tracedb.Denied:    text.Of("refused", "geweigerd"),
	tracedb.Running:   text.Of("running", "draait"),
	tracedb.Gone:      text.Of("gone", "gestopt"),
	tracedb.Undone:    text.Of("undone", "teruggedraaid"),
}
