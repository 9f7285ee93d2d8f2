package pages

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/register"
)

// maxBuilt is how many images of an entry are listed.
const maxBuilt = 100

type entryData struct {
	Newest         catalog.Algorithm
	MayRun         bool
	Reason, Remedy text.Text
	Groups         []group
	Versions       []version
	Built          []tracedb.Ref // for auditors
}

// group is a part of an entry, in the order of the Algoritmeregister.
type group struct {
	Key    string
	Fields []field
}

type field struct {
	Key    string
	Dutch  bool // the values are in the register's language
	Values []value
}

type value struct{ Text, Href string }

type version struct {
	Seq     int64
	Time    time.Time
	Commit  string
	First   bool
	Changed []change
}

type change struct{ Key, Old, New string }

func (s *Site) register(w http.ResponseWriter, r *http.Request) error {
	return s.show(w, r, http.StatusOK, "register", view{Data: s.o.Catalog.Algorithms(), Crumbs: []choice{{Key: "nav.register"}}})
}

func (s *Site) entry(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	a, ok := s.o.Catalog.Algorithm(id)
	if !ok {
		return tracedb.ErrNotFound.Says("the register has no entry with this id")
	}
	versions, err := s.o.Catalog.Versions(r.Context(), id)
	if err != nil {
		return fmt.Errorf("read the versions of %s: %w", id, err)
	}
	auditor := auth.Require(r.Context(), tracedb.RoleAuditor) == nil
	d := entryData{Newest: a, Groups: groups(a.Document, a.Repository, auditor), Versions: compare(versions)}
	d.MayRun, d.Reason, d.Remedy = a.Document.MayRun()
	if auditor {
		if err := s.recordRead(r, "page", "/register/"+id); err != nil {
			return err
		}
		if d.Built, err = s.built(r.Context(), a.Repository); err != nil {
			return err
		}
	}
	return s.show(w, r, http.StatusOK, "entry", view{
		Title: a.Document.Register.Name, Data: d, Crumbs: []choice{{Key: "nav.register", Href: "/register"}, {Text: a.Document.Register.Name}},
	})
}

// built lists the newest images that verified provenance says were built from the repository.
func (s *Site) built(ctx context.Context, repository string) ([]tracedb.Ref, error) {
	page, err := s.o.Reader.Search(ctx, tracedb.Query{
		Kinds: []tracedb.Kind{tracedb.KindProvenance}, Limit: tracedb.MaxPage,
		Refs: []tracedb.Ref{{Type: tracedb.RefRepository, Value: repository}},
	})
	if err != nil {
		return nil, fmt.Errorf("search images of %s: %w", repository, err)
	}
	var out []tracedb.Ref
	for _, e := range page.Entries {
		for _, ref := range e.Refs {
			if ref.Type != tracedb.RefImage || slices.Contains(out, ref) {
				continue
			}
			// A base image is a ref of provenance too; only what was built here is the repository's.
			if s.o.Catalog.Built(ref.Value, repository) {
				out = append(out, ref)
			}
		}
	}
	return out[:min(len(out), maxBuilt)], nil
}

// groups puts an entry's fields in the order of the Algoritmeregister. Addresses of people who are
// responsible are for auditors; the contact address is meant for everybody.
func groups(d register.Document, repository string, auditor bool) []group {
	f := d.Register
	plainText := func(key string, values ...string) field {
		out := field{Key: key, Dutch: true}
		for _, v := range values {
			if strings.TrimSpace(v) != "" {
				out.Values = append(out.Values, value{Text: v, Href: outside(v)})
			}
		}
		return out
	}
	links := func(key, intro string, list []register.Link) field {
		out := plainText(key, intro)
		for _, l := range list {
			out.Values = append(out.Values, value{Text: l.Title, Href: outside(l.Link)})
		}
		return out
	}
	items := func(key string, list []register.Item) field {
		var lines []string
		for _, i := range list {
			line := i.URN + ": " + i.State
			if i.Value != "" {
				line += " – " + i.Value
			}
			lines = append(lines, line)
		}
		return plainText(key, lines...)
	}
	var owners, data []string
	for _, o := range d.Owners {
		line := o.Organization
		if o.Role != "" {
			line += ", " + o.Role
		}
		if auditor && o.Email != "" {
			line += " (" + o.Email + ")"
		}
		owners = append(owners, line)
	}
	for _, s := range d.Data {
		data = append(data, s.URI+" (sha256 "+s.SHA256+")")
	}
	eu := ""
	if len(d.EUDatabase) > 0 {
		// What was read from JSON can be written as JSON.
		raw, _ := json.MarshalIndent(d.EUDatabase, "", "  ")
		eu = string(raw)
	}
	general := []field{
		plainText("field.id", d.ID), plainText("field.organization", f.Organization), plainText("field.status", f.Status),
		plainText("field.publication_category", f.PublicationCategory), plainText("field.category", f.Category...),
		plainText("field.begin_date", f.BeginDate), plainText("field.end_date", f.EndDate), plainText("field.contact_email", f.ContactEmail),
		plainText("field.website", f.Website), plainText("field.url", f.URL), plainText("field.publiccode", f.Publiccode),
		plainText("field.tags", f.Tags), plainText("field.lars", f.Lars),
	}
	if auditor {
		general = append(general, plainText("field.repository", repository))
	}
	all := []group{
		{"group.general", general},
		{"group.use", []field{
			plainText("field.goal", f.Goal), plainText("field.proportionality", f.Proportionality),
			plainText("field.human_intervention", f.HumanIntervention), plainText("field.risks", f.Risks),
			links("field.lawful_basis", f.LawfulBasis, f.LawfulBasisGrouping), plainText("field.process_index_url", f.ProcessIndexURL),
			links("field.impacttoetsen", f.Impacttoetsen, f.ImpacttoetsenGrouping),
		}},
		{"group.working", []field{
			links("field.source_data", f.SourceData, f.SourceDataGrouping), plainText("field.methods_and_models", f.MethodsAndModels),
			plainText("field.provider", f.Provider), plainText("field.data", data...),
		}},
		{"group.ai-act", []field{
			plainText("field.type", d.AIActProfile.Type), plainText("field.role", d.AIActProfile.Role...),
			plainText("field.risk_group", d.AIActProfile.RiskGroup), plainText("field.transparency_obligations", d.AIActProfile.TransparencyObligations),
			plainText("field.eu_database", eu),
		}},
		{"group.owners", []field{plainText("field.owner", owners...)}},
		{"group.framework", []field{items("field.requirements", d.Requirements), items("field.measures", d.Measures)}},
	}
	var out []group
	for _, g := range all {
		g.Fields = slices.DeleteFunc(g.Fields, func(f field) bool { return len(f.Values) == 0 })
		if len(g.Fields) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// compare says of each version what changed, the newest first.
func compare(versions []catalog.Version) []version {
	out := make([]version, 0, len(versions))
	var before map[string]string
	for i, v := range versions {
		now := flat(v.Document)
		next := version{Seq: v.Seq, Time: v.Time, Commit: v.Commit, First: i == 0}
		if i > 0 {
			next.Changed = changes(before, now)
		}
		out, before = append(out, next), now
	}
	slices.Reverse(out)
	return out
}

// flat is what the public sees of a version, by field.
func flat(d register.Document) map[string]string {
	out := map[string]string{"field.name": d.Register.Name, "field.description_short": d.Register.DescriptionShort}
	for _, g := range groups(d, "", false) {
		for _, f := range g.Fields {
			var texts []string
			for _, v := range f.Values {
				texts = append(texts, v.Text)
			}
			out[f.Key] = strings.Join(texts, "; ")
		}
	}
	return out
}

func changes(before, now map[string]string) []change {
	var out []change
	for key, old := range before {
		if now[key] != old {
			out = append(out, change{key, old, now[key]})
		}
	}
	for key, v := range now {
		if _, ok := before[key]; !ok {
			out = append(out, change{Key: key, New: v})
		}
	}
	slices.SortFunc(out, func(a, b change) int { return strings.Compare(a.Key, b.Key) })
	return out
}
