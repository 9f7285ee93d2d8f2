package export

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

//go:embed templates
var templates embed.FS

// step is a part of the chain.
type step struct {
	ID, EN, NL string
	Links      []why.Link
}

// page is what the templates are given.
type page struct {
	*why.Chain
	Steps   []step
	Origin  string
	Tree    string // size of the tree
	Signed  string // who signed the checkpoint: the key's name
	Format  string
	Texts   int
	Records int
}

func newPage(c *why.Chain) page {
	p := page{Chain: c, Format: Format, Texts: Texts, Records: len(c.Links)}
	for _, l := range c.Links {
		if n := len(p.Steps); n == 0 || p.Steps[n-1].ID != l.Step {
			s := step{ID: l.Step}
			s.EN, s.NL = why.StepName(l.Step)
			p.Steps = append(p.Steps, s)
		}
		last := &p.Steps[len(p.Steps)-1]
		last.Links = append(last.Links, l)
	}
	lines := strings.Split(c.Checkpoint, "\n")
	if len(lines) > 4 {
		p.Origin, p.Tree = lines[0], lines[1]
		if words := strings.Fields(lines[4]); len(words) > 1 {
			p.Signed = words[1]
		}
	}
	return p
}

var functions = map[string]any{
	"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"leaf": func(e tracedb.Entry) string { return e.Hash().String() },
	"bad":  tracedb.Outcome.Bad,
}

// The templates: the chain as a page that needs nothing but itself, no network and no script, and what the archive
// is and how it is checked.
var (
	reportTemplate = template.Must(template.New(nameReport).Funcs(functions).ParseFS(templates, "templates/report.html"))
	readmeTemplate = texttemplate.Must(texttemplate.New(nameReadme).ParseFS(templates, "templates/README.txt"))
)

// render executes a template for a chain.
func render(t interface {
	Name() string
	Execute(w io.Writer, data any) error
}, c *why.Chain) ([]byte, error) {
	var out bytes.Buffer
	if err := t.Execute(&out, newPage(c)); err != nil {
		return nil, fmt.Errorf("write %s: %w", t.Name(), err)
	}
	return out.Bytes(), nil
}
