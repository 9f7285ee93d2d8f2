package pages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

const (
	maxGroups  = 6        // of a step, shown at once; the rest has a page of its own
	maxEarlier = 5        // records like one that is shown, listed below it
	perPage    = 25       // records of a step's own page
	inlineBody = 12 << 10 // bytes of a payload that is shown within a history
)

type historyData struct {
	Chain        *why.Chain
	Name         string // in the register
	Organization string
	Status       string
	Look         string // of the verdict
	Drawings     []drawing
	Steps        []historyStep
	Other        historyStep
	Export, JSON string
}

// historyStep is a step of the flow with its evidence.
type historyStep struct {
	step
	State  stepState
	Gaps   []why.Gap
	Groups []linkGroup
	Left   int    // records that aren't shown here
	All    string // address of the page that shows every record of the step
	// Elsewhere is how much evidence of the step is shown under another one.
	Elsewhere int
}

// linkGroup is a record and those before it that say the same of other pods, runs or images.
type linkGroup struct {
	why.Link
	LeafHash string
	Body     *body // nil: on the record's own page
	Open     bool  // shown with its details
	Count    int   // of records
	Earlier  []line
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
	return s.history(w, r, subject)
}

func (s *Site) why(w http.ResponseWriter, r *http.Request) error {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	if q == "" {
		return s.form(w, r, http.StatusOK, whyData{})
	}
	subject, err := why.Subject(q)
	if err == nil {
		err = s.history(w, r, subject, choice{Key: "nav.why", Href: "/why"})
	}
	switch {
	case errors.Is(err, tracedb.ErrInvalid):
		return s.form(w, r, tracedb.ErrInvalid.Status, whyData{Query: q, Problem: wrong("why.unreadable")})
	case errors.Is(err, tracedb.ErrNotFound):
		return s.form(w, r, tracedb.ErrNotFound.Status, whyData{Query: q, Problem: wrong("why.unknown")})
	}
	return err
}

// form is the page that asks for a subject.
func (s *Site) form(w http.ResponseWriter, r *http.Request, status int, d whyData) error {
	d.Examples = examples()
	return s.show(w, r, status, "why", view{Data: d, Crumbs: []choice{{Key: "nav.why"}}})
}

// history shows everything that is known about a subject.
func (s *Site) history(w http.ResponseWriter, r *http.Request, subject tracedb.Ref, crumbs ...choice) error {
	if err := s.recordRead(r, "why", subject.String()); err != nil {
		return err
	}
	chain, err := why.Ask(r.Context(), s.o.Reader, subject, why.Options{Proofs: true})
	if err != nil {
		return fmt.Errorf("ask why %s: %w", subject, err)
	}
	d := historyData{Chain: chain, Export: "/v1/export/" + why.Path(subject), JSON: "/v1/why/" + why.Path(subject)}
	if a, ok := s.o.Catalog.Algorithm(chain.Algorithm); ok {
		f := a.Document.Register
		d.Name, d.Organization, d.Status = f.Name, f.Organization, f.Status
	}
	sorted := byStep(chain.Links)
	title := cmp.Or(d.Name, subject.Value)
	if id := r.URL.Query().Get("step"); id != "" {
		return s.oneStep(w, r, id, title, sorted)
	}
	d.Drawings = diagram(sorted)
	for _, st := range append(slices.Clone(steps), step{}) {
		one := s.historyStep(r.Context(), st, sorted, chain.Gaps)
		one.All = here(r, "step", cmp.Or(st.ID, noStep))
		if st.ID == "" {
			d.Other = one
		} else {
			d.Steps = append(d.Steps, one)
		}
	}
	d.Look = cmp.Or(looks[chain.Verdict], "plain")
	crumbs = append(crumbs, choice{Text: title})
	return s.show(w, r, http.StatusOK, "history", view{Title: title, Crumbs: crumbs, Live: true, Subjects: subjects(chain), Data: d})
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

// noStep stands in an address for the records that belong to no step.
const noStep = "other"

type stepData struct {
	step
	Back           string // address of the history
	Lines          []line
	Newer, Older   string
	First, Last, N int
}

// oneStep shows every record of a step of a history, the newest first.
func (s *Site) oneStep(w http.ResponseWriter, r *http.Request, id, title string, sorted map[string][]why.Link) error {
	i := slices.IndexFunc(steps, func(st step) bool { return st.ID == id })
	if i < 0 && id != noStep {
		return tracedb.ErrInvalid.Says("there is no such step").At("step")
	}
	d := stepData{Back: here(r, "step", "", "page", "") + "#" + id}
	if i >= 0 {
		d.step = steps[i]
	}
	links := slices.Clone(sorted[d.ID])
	slices.Reverse(links)
	page, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("page"), "1"))
	if err != nil || page < 1 || page > 1 && (page-1)*perPage >= len(links) {
		return tracedb.ErrInvalid.Says("there is no such page").At("page")
	}
	d.N, d.First, d.Last = len(links), (page-1)*perPage, min(page*perPage, len(links))
	for _, l := range links[d.First:d.Last] {
		d.Lines = append(d.Lines, linkLine(l))
	}
	d.First++
	if page > 1 {
		d.Newer = here(r, "page", strconv.Itoa(page-1))
	}
	if d.Last < d.N {
		d.Older = here(r, "page", strconv.Itoa(page+1))
	}
	return s.show(w, r, http.StatusOK, "step", view{Title: title, Data: d, Crumbs: []choice{{Text: title, Href: d.Back}, {Text: cmp.Or(d.ID, noStep)}}})
}

// linkLine is a record of a history in a list.
func linkLine(l why.Link) line { return line{Entry: l.Entry, Title: l.Title, TitleNL: l.TitleNL} }

func (s *Site) historyStep(ctx context.Context, st step, sorted map[string][]why.Link, gaps []why.Gap) historyStep {
	links, all := sorted[st.ID], evidence(st.ID, sorted)
	out := historyStep{step: st, State: newNode(st.ID, all).State, Elsewhere: len(all) - len(links)}
	for _, g := range gaps {
		if g.Step == st.ID && (len(all) == 0 || g.Step == "F6") {
			out.Gaps = append(out.Gaps, g)
		}
	}
	out.Groups = grouped(links)
	if n := len(out.Groups) - maxGroups; n > 0 {
		out.Groups = out.Groups[n:]
	}
	out.Left = len(links)
	for i := range slices.Backward(out.Groups) {
		g := &out.Groups[i]
		out.Left -= 1 + len(g.Earlier)
		g.LeafHash = hexOf(g.Hash())
		// Of what was refused, the newest is what most come for.
		g.Open = st.ID == "F7b" && i == len(out.Groups)-1
		switch {
		case g.Disposed:
			g.Body = &body{Disposed: true}
		case g.Size <= inlineBody:
			// What can't be read here can be on the record's own page, with the reason.
			if payload, err := s.o.Reader.Payload(ctx, g.Seq); err == nil {
				b := newBody(g.Kind, payload, inlineBody)
				g.Body = &b
			}
		}
	}
	return out
}

// grouped puts records together that say the same: the newest stands for all.
func grouped(links []why.Link) []linkGroup {
	var out []linkGroup
	for _, l := range links {
		i := slices.IndexFunc(out, func(g linkGroup) bool { return alike(g.Link, l) })
		if i < 0 {
			out = append(out, linkGroup{Link: l, Count: 1})
			continue
		}
		g := out[i]
		g.Earlier = append([]line{linkLine(g.Link)}, g.Earlier...)
		g.Earlier = g.Earlier[:min(len(g.Earlier), maxEarlier)]
		g.Link, g.Count = l, g.Count+1
		out = append(slices.Delete(out, i, i+1), g)
	}
	return out
}

// single are the kinds of which each record says something of its own.
var single = []tracedb.Kind{
	tracedb.KindSpec, tracedb.KindSession, tracedb.KindCommit, tracedb.KindReview, tracedb.KindMerge, tracedb.KindRegister, tracedb.KindException, tracedb.KindRepair,
}

// alike says whether two records say the same of different things. What a policy says counts, but not of
// which pod or image it says so.
func alike(a, b why.Link) bool {
	said := func(l why.Link, name string) string {
		i := slices.IndexFunc(l.Details, func(d why.Detail) bool { return d.Name == name })
		if i < 0 {
			return ""
		}
		return names.ReplaceAllString(l.Details[i].Value, "")
	}
	return a.Kind == b.Kind && a.Outcome == b.Outcome && a.Disposed == b.Disposed &&
		(a.Title == b.Title || !slices.Contains(single, a.Kind)) &&
		(a.Kind != tracedb.KindAdmission || said(a, "policy") == said(b, "policy") && said(a, "reason") == said(b, "reason"))
}

// names are digests and hashes, and quoted names, in what a policy says.
var names = regexp.MustCompile(`[0-9a-f]{12,64}…?|"[^"]*"`)
