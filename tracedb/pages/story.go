package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

const (
	newestLinks = 12       // of a step, shown at once
	inlineBody  = 12 << 10 // bytes of a payload that is shown within a story
	inlineMax   = 60       // payloads within a story
)

type storyData struct {
	Chain        *why.Chain
	Name         string // in the register
	Organization string
	Status       string
	Look         string // of the verdict
	Drawings     []drawing
	Steps        []storyStep
	Other        []storyLink
	Export, JSON string
}

// storyStep is a step of the flow with its evidence.
type storyStep struct {
	step
	Light light
	Gaps  []why.Gap
	Links []storyLink
	Older []storyLink
	// Elsewhere is how much evidence of the step is told under another one.
	Elsewhere int
}

type storyLink struct {
	why.Link
	LeafHash string
	Body     *body // nil: on the record's own page
}

type whyData struct {
	Query    string
	Problem  *problem
	Examples []tracedb.Ref
}

// examples show how each kind of subject is written.
func examples() []tracedb.Ref {
	return []tracedb.Ref{
		{Type: tracedb.RefRepository, Value: "druppie/drone-service"},
		{Type: tracedb.RefAlgorithm, Value: "alg-7f3k2m9q"},
		{Type: tracedb.RefImage, Value: "sha256:" + strings.Repeat("0123456789abcdef", 4)},
		{Type: tracedb.RefCommit, Value: strings.Repeat("0123456789", 4)},
		{Type: tracedb.RefPod, Value: "drones/drone-service-5d8f7c9b6-x2x7q"},
		{Type: tracedb.RefRun, Value: "run:foundry/release-x7k2p"},
	}
}

func (s *Site) service(w http.ResponseWriter, r *http.Request) error {
	subject := tracedb.Ref{Type: tracedb.RefRepository, Value: r.PathValue("owner") + "/" + r.PathValue("name")}
	if err := subject.Check(); err != nil {
		return tracedb.ErrNotFound.Says("this is no service's name: %s", err)
	}
	return s.story(w, r, subject, choice{Key: "nav.start", Href: "/"})
}

func (s *Site) why(w http.ResponseWriter, r *http.Request) error {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	if q == "" {
		return s.askAgain(w, r, http.StatusOK, whyData{})
	}
	subject, err := why.Subject(q)
	if err == nil {
		err = s.story(w, r, subject, choice{Key: "nav.why", Href: "/why"})
	}
	switch {
	case errors.Is(err, tracedb.ErrInvalid):
		return s.askAgain(w, r, tracedb.ErrInvalid.Status, whyData{Query: q, Problem: wrong("why.unreadable")})
	case errors.Is(err, tracedb.ErrNotFound):
		return s.askAgain(w, r, tracedb.ErrNotFound.Status, whyData{Query: q, Problem: wrong("why.unknown")})
	}
	return err
}

func (s *Site) askAgain(w http.ResponseWriter, r *http.Request, status int, d whyData) error {
	title, err := s.words(r).T("why.title")
	if err != nil {
		return err
	}
	d.Examples = examples()
	s.show(w, r, status, "why", view{Title: title, Data: d, Crumbs: []choice{{Key: "nav.start", Href: "/"}, {Key: "nav.why"}}})
	return nil
}

// story shows everything that is known about a subject.
func (s *Site) story(w http.ResponseWriter, r *http.Request, subject tracedb.Ref, from choice) error {
	if err := s.note(r, "why", subject.String()); err != nil {
		return err
	}
	chain, err := why.Ask(r.Context(), s.o.Reader, subject, why.Options{Proofs: true})
	if err != nil {
		return fmt.Errorf("ask why %s: %w", subject, err)
	}
	d := storyData{Chain: chain, Export: "/v1/export/" + why.Path(subject), JSON: "/v1/why/" + why.Path(subject)}
	if a, ok := s.o.Catalog.Algorithm(chain.Algorithm); ok {
		f := a.Document.Register
		d.Name, d.Organization, d.Status = f.Name, f.Organization, f.Status
	}
	sorted := byStep(chain.Links)
	d.Drawings = diagram(sorted)
	left := inlineMax
	for _, st := range steps {
		d.Steps = append(d.Steps, s.storyStep(r.Context(), st, sorted, chain.Gaps, &left))
	}
	d.Other = s.storyLinks(r.Context(), sorted[""], &left)
	d.Look = cmp.Or(looks[chain.Verdict], "plain")
	title := cmp.Or(d.Name, subject.Value)
	crumbs := []choice{from, {Text: title}}
	if from.Href != "/" {
		crumbs = append([]choice{{Key: "nav.start", Href: "/"}}, crumbs...)
	}
	s.show(w, r, http.StatusOK, "story", view{Title: title, Crumbs: crumbs, Live: true, Subjects: subjects(chain), Data: d})
	return nil
}

// looks says how a verdict is shown.
var looks = map[why.Verdict]string{why.Runs: "ok", why.RunsRefused: "warn", why.Refused: "bad", why.Admitted: "warn"}

// subjects lists what new records must be about to change the page.
func subjects(c *why.Chain) string {
	refs := []tracedb.Ref{c.Subject, {Type: tracedb.RefRepository, Value: c.Repository}, {Type: tracedb.RefAlgorithm, Value: c.Algorithm}}
	for _, l := range c.Links {
		for _, r := range l.Refs {
			if r.Type == tracedb.RefImage || r.Type == tracedb.RefCommit {
				refs = append(refs, r)
			}
		}
	}
	var out []string
	for _, r := range tracedb.SortRefs(refs) {
		out = append(out, r.String())
	}
	return strings.Join(out[:min(len(out), 200)], " ")
}

func (s *Site) storyStep(ctx context.Context, st step, sorted map[string][]why.Link, gaps []why.Gap, left *int) storyStep {
	links, all := sorted[st.ID], evidence(st.ID, sorted)
	out := storyStep{step: st, Light: shine(st.ID, all).Light, Elsewhere: len(all) - len(links)}
	for _, g := range gaps {
		if g.Step == st.ID && len(all) == 0 {
			out.Gaps = append(out.Gaps, g)
		}
	}
	shown := s.storyLinks(ctx, links, left)
	if n := len(shown) - newestLinks; n > 0 {
		out.Older, shown = shown[:n], shown[n:]
	}
	out.Links = shown
	return out
}

func (s *Site) storyLinks(ctx context.Context, links []why.Link, left *int) []storyLink {
	var out []storyLink
	// The newest get their payloads first.
	for _, l := range slices.Backward(links) {
		sl := storyLink{Link: l, LeafHash: hexOf(l.Hash())}
		if l.Disposed {
			sl.Body = &body{Disposed: true}
		} else if l.Size <= inlineBody && *left > 0 {
			// What can't be read here can be on the record's own page, with the reason.
			if payload, err := s.o.Reader.Payload(ctx, l.Seq); err == nil {
				b := newBody(l.Kind, payload, inlineBody)
				sl.Body = &b
				*left--
			}
		}
		out = append(out, sl)
	}
	slices.Reverse(out)
	return out
}
