package pages

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
)

//go:embed texts.yaml
var textsFile []byte

func languages() []string { return []string{text.Dutch, text.English} } // the first is what others get

// readTexts reads the table that holds every text of the pages.
func readTexts(raw []byte) (map[string]text.Text, error) {
	var table map[string]text.Text
	if err := yaml.UnmarshalStrict(raw, &table); err != nil {
		return nil, fmt.Errorf("read texts: %w", err)
	}
	return table, nil
}

// words are the texts in one language.
type words struct {
	lang  string
	table map[string]text.Text
}

// errText is a text that isn't in the table: a fault of ours, which a test finds before a reader does.
var errText = errors.New("no such text")

// problem is what is wrong, as a text of the table.
type problem struct {
	key  string
	args []any
}

func wrong(key string, args ...any) *problem { return &problem{key, args} }

// Error is for the service's own log.
func (p *problem) Error() string { return fmt.Sprint(append([]any{p.key}, p.args...)...) }

// T is the text under key, with args filled in.
func (w words) T(key string, args ...any) (string, error) {
	both, ok := w.table[key]
	s := both.EN
	if w.lang == text.Dutch {
		s = both.NL
	}
	if !ok || s == "" {
		return "", fmt.Errorf("%w: %s in %s", errText, key, w.lang)
	}
	if len(args) > 0 {
		args = slices.Clone(args)
		for i, a := range args {
			switch n := a.(type) {
			case int:
				args[i] = w.Number(int64(n))
			case int64:
				args[i] = w.Number(n)
			}
		}
		s = fmt.Sprintf(s, args...)
	}
	return s, nil
}

// Count is the text under key.one or key.many, with the number filled in.
func (w words) Count(key string, n any) (string, error) {
	if fmt.Sprint(n) == "1" {
		return w.T(key + ".one")
	}
	return w.T(key+".many", n)
}

// has says whether the table knows key.
func (w words) has(key string) bool { _, ok := w.table[key]; return ok }

// Number writes n as the language does.
func (w words) Number(n int64) string { return text.Number(w.lang, n) }

// months are those of Dutch, as short as English has them.
var months = [...]string{"jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"}

// When writes t for people, in UTC; the script of the pages makes it the reader's own time.
func (w words) When(t time.Time) string { return w.Day(t) + t.UTC().Format(" 15:04:05 UTC") }

// Day writes the day of t for people, in UTC.
func (w words) Day(t time.Time) string {
	t = t.UTC()
	if w.lang == text.Dutch {
		return fmt.Sprintf("%d %s %d", t.Day(), months[t.Month()-1], t.Year())
	}
	return t.Format("2 Jan 2006")
}

// time is a time element.
func (w words) time(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	t = tracedb.Instant(t)
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format(time.RFC3339Nano), w.When(t)))
}

// pick is the Dutch or the English of two texts that come from elsewhere.
func (w words) pick(nl, en string) string { return text.Of(en, nl).In(w.lang) }
