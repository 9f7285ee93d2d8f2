package pages

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/why"
)

const (
	latestRecords = 10
	recentRecords = 200                 // looked at for services without an entry, and for pods of one
	refusedSince  = 30 * 24 * time.Hour // counted on the start page
	maxServices   = 100                 // shown on the start page
	homeEntries   = 6
)

type homeData struct {
	Drawings []drawing
	Register []catalog.Algorithm
	Inside   *inside // for auditors
}

// inside is what the start page shows to auditors.
type inside struct {
	Totals   []total
	Services []serviceCard
	Latest   []line
	Head     head
}

type total struct {
	Key, Href string
	N         int64
	More      bool // there are more than were counted
}

// serviceCard is a service at a glance.
type serviceCard struct {
	Repository   string
	Name         string
	Organization string
	Status       string
	Algorithm    string
	Runs         []string // pods
	Digests      []string // that run
	Refusal      *line
}

// line is a record in a list.
type line struct {
	tracedb.Entry
	Title, TitleNL string
	About          string // the service, as far as the entry alone says
	Details        []why.Detail
}

// newLine describes a record; lists do by its entry alone: they are long, and payloads large.
func newLine(e tracedb.Entry, payload json.RawMessage) line {
	l := line{Entry: e, About: cmp.Or(e.First(tracedb.RefRepository), e.First(tracedb.RefAlgorithm), e.First(tracedb.RefPod))}
	l.Title, l.TitleNL, l.Details = why.Describe(e, payload)
	return l
}

func newLines(entries []tracedb.Entry) []line {
	out := make([]line, len(entries))
	for i, e := range entries {
		out[i] = newLine(e, nil)
	}
	return out
}

// head is the signed tree head of the log, and what is wrong with it.
type head struct {
	tracedb.Checkpoint
	Origin, Root, Key, Note string
	Problem                 *problem
}

// pageReader reads for one page. It keeps the first error, after which it reads nothing more.
type pageReader struct {
	*Site
	ctx context.Context
	err error
}

func (r *pageReader) search(q tracedb.Query) (page tracedb.Page) {
	if r.err == nil {
		page, r.err = r.o.Reader.Search(r.ctx, q)
	}
	return page
}

// head checks the signature, and that the signed text says what the log says.
func (r *pageReader) head() head {
	if r.err != nil {
		return head{}
	}
	cp, err := r.o.Reader.Checkpoint(r.ctx)
	r.err = err
	h := head{Checkpoint: cp, Root: hexOf(cp.Root), Key: r.o.VerifierKey, Note: string(cp.Note)}
	signed, origin, problem := openCheckpoint(cp.Note, r.o.VerifierKey)
	h.Origin, h.Problem = origin, problem
	if problem == nil && (signed.Size != cp.Size || signed.Root != cp.Root) {
		h.Problem = wrong("checkpoint.other-tree")
	}
	return h
}

func (s *Site) home(w http.ResponseWriter, r *http.Request) error {
	d := homeData{Drawings: explain(), Register: s.o.Catalog.Algorithms()}
	d.Register = d.Register[:min(len(d.Register), homeEntries)]
	var err error
	var v view
	if auth.Require(r.Context(), tracedb.RoleAuditor) == nil {
		if err := s.recordRead(r, "page", "/"); err != nil {
			return err
		}
		if d.Inside, err = s.inside(r.Context()); err != nil {
			return err
		}
		v.Live = true
	}
	v.Data = d
	return s.show(w, r, http.StatusOK, "home", v)
}

func (s *Site) inside(ctx context.Context) (*inside, error) {
	r := &pageReader{Site: s, ctx: ctx}
	in := &inside{Head: r.head(), Services: r.services(), Latest: newLines(r.search(tracedb.Query{Kinds: serviceKinds(), Limit: latestRecords}).Entries)}
	// What was refused at admission or by the log, as far as one page of results goes.
	refused := r.search(tracedb.Query{
		From: s.o.Now().Add(-refusedSince), Outcome: tracedb.Denied, Limit: tracedb.MaxPage,
		Kinds: []tracedb.Kind{tracedb.KindAdmission, tracedb.KindRefusal},
	})
	running := 0
	for _, c := range in.Services {
		running += len(c.Runs)
	}
	in.Totals = []total{
		{Key: "total.records", N: in.Head.Size, Href: "/search"},
		{Key: "total.services", N: int64(len(in.Services)), More: len(in.Services) == maxServices},
		{Key: "total.running", N: int64(running)},
		{Key: "total.register", N: int64(len(s.o.Catalog.Algorithms())), Href: "/register"},
		{Key: "total.refusals", N: int64(len(refused.Entries)), More: refused.Next != 0, Href: "/refusals"},
	}
	return in, r.err
}

// serviceKinds lists the kinds that are about a service, not about the log itself.
func serviceKinds() []tracedb.Kind {
	var out []tracedb.Kind
	for _, k := range tracedb.Kinds() {
		if !k.Internal || k.Kind == tracedb.KindRefusal {
			out = append(out, k.Kind)
		}
	}
	return out
}

// services lists what the platform makes or runs: every repository of the register, and those that
// were asked for or built lately. A repository that only has commits, as the fleet, is no service.
func (r *pageReader) services() []serviceCard {
	cards := map[string]serviceCard{}
	for _, a := range r.o.Catalog.Algorithms() {
		f := a.Document.Register
		cards[a.Repository] = serviceCard{Repository: a.Repository, Name: f.Name, Organization: f.Organization, Status: f.Status, Algorithm: a.ID}
	}
	recent := r.search(tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindSpec, tracedb.KindSession, tracedb.KindRun, tracedb.KindImage}, Limit: recentRecords,
	})
	for _, e := range recent.Entries {
		repo := e.First(tracedb.RefRepository)
		if _, ok := cards[repo]; !ok && repo != "" {
			cards[repo] = serviceCard{Repository: repo, Name: repo}
		}
	}
	out := slices.SortedFunc(maps.Values(cards), func(a, b serviceCard) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Repository, b.Repository))
	})
	out = out[:min(len(out), maxServices)]
	for i := range out {
		r.addState(&out[i])
	}
	return out
}

// addState adds what runs now and what was refused last.
func (r *pageReader) addState(c *serviceCard) {
	about := []tracedb.Ref{{Type: tracedb.RefRepository, Value: c.Repository}}
	if c.Algorithm != "" {
		about = append(about, tracedb.Ref{Type: tracedb.RefAlgorithm, Value: c.Algorithm})
	}
	if r.err != nil {
		return
	}
	tenants, err := why.Tenants(r.ctx, r.o.Reader, c.Repository)
	r.err = err
	pods := map[string]tracedb.Entry{}
	for _, ref := range about {
		refs := []tracedb.Ref{ref}
		for _, e := range r.search(tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindDeployment}, Refs: refs, Limit: recentRecords}).Entries {
			if pod := e.First(tracedb.RefPod); pod != "" && e.Seq >= pods[pod].Seq {
				pods[pod] = e
			}
		}
		for _, e := range r.search(tracedb.Query{Outcome: tracedb.Denied, Refs: refs, Limit: latestRecords}).Entries {
			// Anybody may ask under the service's id, in a namespace of their own.
			if why.InTenants(e, tenants) && (c.Refusal == nil || e.Seq > c.Refusal.Seq) {
				l := newLine(e, nil)
				c.Refusal = &l
			}
		}
	}
	for pod, e := range pods {
		if e.Outcome != tracedb.Running {
			continue
		}
		c.Runs = append(c.Runs, pod)
		c.Digests = append(c.Digests, e.Values(tracedb.RefImage)...)
	}
	slices.Sort(c.Runs)
	slices.Sort(c.Digests)
	c.Digests = slices.Compact(c.Digests)
}
