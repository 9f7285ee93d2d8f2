package pages

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

type searchData struct {
	About, Actor, From, Until string
	Kinds, Outcomes           []option
	Problems                  map[string]string // the texts of what is wrong, by field
	Lines                     []line
	Next, Newest              string
}

type option struct {
	Value    string
	Selected bool
}

func (s *Site) search(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	d := searchData{About: strings.TrimSpace(q.Get("about")), Actor: strings.TrimSpace(q.Get("actor")), From: q.Get("from"), Until: q.Get("until")}
	for _, k := range tracedb.Kinds() {
		d.Kinds = append(d.Kinds, option{string(k.Kind), q.Get("kind") == string(k.Kind)})
	}
	for _, o := range tracedb.Outcomes() {
		d.Outcomes = append(d.Outcomes, option{string(o), q.Get("outcome") == string(o)})
	}
	query, problems := searchQuery(q, d)
	d.Problems = problems
	var err error
	if query.Before, err = beforeParam(r); err != nil {
		return err
	}
	status := http.StatusOK
	if len(problems) > 0 {
		status = http.StatusBadRequest
	} else {
		if err := s.recordRead(r, "search", asked(r, "about", "actor", "from", "until", "kind", "outcome", "before")); err != nil {
			return err
		}
		page, err := s.find(r.Context(), query)
		if err != nil {
			return err
		}
		d.Lines = newLines(page.Entries)
		if page.Next != 0 {
			d.Next = here(r, "before", strconv.FormatInt(page.Next, 10))
		}
		if query.Before != 0 {
			d.Newest = here(r, "before", "")
		}
	}
	return s.show(w, r, status, "search", view{Data: d, Crumbs: []choice{{Key: "nav.search"}}})
}

// find searches. A name with a slash may be a repository's, a pod's or a run's: the first that
// something is known about counts.
func (s *Site) find(ctx context.Context, q tracedb.Query) (tracedb.Page, error) {
	page, err := s.o.Reader.Search(ctx, q)
	if err != nil || len(page.Entries) > 0 || len(q.Refs) != 1 || q.Refs[0].Type != tracedb.RefRepository {
		return page, err
	}
	for _, t := range []tracedb.RefType{tracedb.RefPod, tracedb.RefRun} {
		q.Refs = []tracedb.Ref{{Type: t, Value: q.Refs[0].Value}}
		if page, err = s.o.Reader.Search(ctx, q); err != nil || len(page.Entries) > 0 {
			return page, err
		}
	}
	return page, nil
}

// searchQuery is the query that the form says, and the texts of what is wrong with it, by field.
func searchQuery(q url.Values, d searchData) (tracedb.Query, map[string]string) {
	out := tracedb.Query{Actor: d.Actor, Outcome: tracedb.Outcome(q.Get("outcome"))}
	problems := map[string]string{}
	day := func(name, value string, add int) time.Time {
		if value == "" {
			return time.Time{}
		}
		t, err := time.Parse(time.DateOnly, value)
		if err != nil {
			problems[name] = "search.bad-day"
		}
		return t.AddDate(0, 0, add)
	}
	out.From, out.Until = day("from", d.From, 0), day("until", d.Until, 1)
	if k := tracedb.Kind(q.Get("kind")); k != "" {
		out.Kinds = []tracedb.Kind{k}
		if _, ok := k.Info(); !ok {
			problems["kind"] = "search.bad-choice"
		}
	}
	if out.Outcome != "" && !slices.Contains(tracedb.Outcomes(), out.Outcome) {
		problems["outcome"] = "search.bad-choice"
	}
	if d.About != "" {
		ref, err := why.Subject(d.About)
		if err != nil {
			problems["about"] = "search.bad-about"
		}
		out.Refs = []tracedb.Ref{ref}
	}
	if out.Check() != nil {
		problems["actor"] = "search.bad-actor"
	}
	return out, problems
}
