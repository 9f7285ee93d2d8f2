package pages

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/druppie/druppie-up/tracedb"
)

const refusalsPage = 25

// source is where a refusal comes from, and what to search for.
type source struct {
	name    string
	queries []tracedb.Query
}

func sources() []source {
	admission := tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindAdmission}, Outcome: tracedb.Denied}
	log := tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindRefusal}}
	gates := tracedb.Query{Outcome: tracedb.Failed, Kinds: []tracedb.Kind{
		tracedb.KindRun, tracedb.KindTestResult, tracedb.KindVulns, tracedb.KindSARIF, tracedb.KindVerdict, tracedb.KindDeployment,
	}}
	review := tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindReview}, Outcome: tracedb.Rejected}
	return []source{
		{"all", []tracedb.Query{admission, log, gates, review}},
		{"door", []tracedb.Query{admission}},
		{"gates", []tracedb.Query{gates, review}},
		{"log", []tracedb.Query{log}},
	}
}

type refusalsData struct {
	Tabs  []choice
	Items []line
	Next  string
}

func (s *Site) refusals(w http.ResponseWriter, r *http.Request) error {
	which := cmp.Or(r.URL.Query().Get("what"), "all")
	i := slices.IndexFunc(sources(), func(f source) bool { return f.name == which })
	if i < 0 {
		return tracedb.ErrInvalid.Says("there is no such list of refusals").At("what").WithHint("all, door, gates and log are")
	}
	before, err := beforeParam(r)
	if err != nil {
		return err
	}
	if err := s.recordRead(r, "page", asked(r, "what", "before")); err != nil {
		return err
	}
	var d refusalsData
	for _, f := range sources() {
		d.Tabs = append(d.Tabs, choice{Key: "refusals." + f.name, Href: "/refusals?what=" + f.name, Current: f.name == which})
	}
	var found []tracedb.Entry
	more := false
	for _, q := range sources()[i].queries {
		q.Before, q.Limit = before, refusalsPage
		page, err := s.o.Reader.Search(r.Context(), q)
		if err != nil {
			return fmt.Errorf("search refusals: %w", err)
		}
		found, more = append(found, page.Entries...), more || page.Next != 0
	}
	slices.SortFunc(found, func(a, b tracedb.Entry) int { return cmp.Compare(b.Seq, a.Seq) })
	if len(found) > refusalsPage {
		found, more = found[:refusalsPage], true
	}
	for _, e := range found {
		payload, err := s.payloadOf(r, e.Seq)
		if err != nil {
			return err
		}
		d.Items = append(d.Items, newLine(e, payload))
	}
	if more && len(found) > 0 {
		d.Next = here(r, "before", strconv.FormatInt(found[len(found)-1].Seq, 10))
	}
	return s.show(w, r, http.StatusOK, "refusals", view{Data: d, Live: before == 0, Crumbs: []choice{{Key: "nav.refusals"}}})
}

// beforeParam reads where a page of results ends; 0: nowhere.
func beforeParam(r *http.Request) (int64, error) {
	v := r.URL.Query().Get("before")
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 1 {
		return 0, tracedb.ErrInvalid.Says("a page ends before a record's number, a whole number from 1").At("before")
	}
	return n, nil
}
