package conformance

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/scenarios"
)

//go:embed page.html
var pageTemplate string

// pageView is what the page shows. What programs said stays in English, and is marked so for screen readers.
type pageView struct {
	Report
	Lang   string
	Counts []count
}

type count struct {
	Verdict Verdict
	N       int
}

// HTML writes the report as one page that needs nothing beside it: no script, no style, font or picture from
// elsewhere. lang is text.English or text.Dutch.
func (r Report) HTML(w io.Writer, lang string) error {
	view := pageView{Report: r, Lang: lang}
	for _, v := range []Verdict{Holds, Broken, NotRun, NotThere} {
		n := 0
		for _, c := range r.Controls {
			if c.Verdict == v {
				n++
			}
		}
		if n > 0 {
			view.Counts = append(view.Counts, count{v, n})
		}
	}
	number := message.NewPrinter(language.Make(lang))
	say := func(en, nl string) string { return text.Of(en, nl).In(lang) }
	tmpl, err := template.New("page").Funcs(template.FuncMap{
		"say":     say,
		"in":      func(t text.Text) string { return t.In(lang) },
		"verdict": func(v Verdict) string { return verdictText(v).In(lang) },
		"mark": func(v Verdict) string {
			return map[Verdict]string{Holds: "✓", Broken: "✗", NotThere: "–", NotRun: "?"}[v]
		},
		"state": func(s State) string { return stateText(s).In(lang) },
		"class": func(v Verdict) string { return map[Verdict]string{Holds: "good", Broken: "bad"}[v] },
		"span": func(d time.Duration) string {
			if d < time.Minute {
				return number.Sprintf("%.1f s", d.Seconds())
			}
			d = d.Round(time.Second)
			return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
		},
		"time":    func(t time.Time) string { return t.UTC().Format(time.DateTime + " UTC") },
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"because": func(c ControlResult) string { return because(c).In(lang) },
		"runs":    r.runsOf,
	}).Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("page of the report: %w", err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, view); err != nil {
		return fmt.Errorf("page of the report: %w", err)
	}
	_, err = io.WriteString(w, strings.Map(inOrder, b.String()))
	return err
}

// inOrder replaces what would show letters in another order than they stand in.
func inOrder(r rune) rune {
	if unicode.Is(unicode.Bidi_Control, r) {
		return unicode.ReplacementChar
	}
	return r
}

func verdictText(v Verdict) text.Text {
	t := map[Verdict]text.Text{
		Holds: text.Of("holds", "werkt"), Broken: text.Of("broken", "werkt niet"),
		NotThere: text.Of("not there", "is er niet"), NotRun: text.Of("not run", "niet beproefd"),
	}[v]
	return cmp.Or(t, text.Same(string(v)))
}

func stateText(s State) text.Text {
	t := map[State]text.Text{
		Enforced: text.Of("enforced", "afgedwongen"), Partly: text.Of("enforced in part", "deels afgedwongen"), Absent: text.Of("not enforced", "niet afgedwongen"),
	}[s]
	return cmp.Or(t, text.Same(string(s)))
}

// because says in both languages why a control has its verdict, as far as nobody but the design says it.
func because(c ControlResult) text.Text {
	switch c.Verdict {
	case Holds, NotThere:
		return c.Lacks
	case NotRun:
		return text.Of("Not all of its scenarios ran.", "Niet al zijn scenario's zijn uitgevoerd.")
	}
	return text.Text{}
}

// numbered is a run with its place in the report, by which a page links to it.
type numbered struct {
	N int
	scenarios.Result
}

func (r Report) runsOf(c ControlResult) []numbered {
	var all []numbered
	for i, s := range r.Scenarios {
		if slices.Contains(c.Scenarios, s.Name) {
			all = append(all, numbered{i, s})
		}
	}
	return all
}
