package attest

import (
	"strings"

	"github.com/druppie/druppie-up/tracedb"
)

// About is what a statement of the foundry is about. Digest may be empty where a gate failed before
// there was an image: then the commit alone is the subject.
type About struct {
	Image      string // name without tag or digest
	Digest     string // sha256:…
	Repository string // owner/name
	Commit     string
	Run        string // namespace/name of the pipeline run; makes the statement this run's own
}

// runAnnotation is the annotation of the commit's subject that names the pipeline run.
const runAnnotation = "run"

func (a About) image() []Subject {
	if a.Digest == "" {
		return nil
	}
	return []Subject{{Name: a.Image, Digest: map[string]string{"sha256": strings.TrimPrefix(a.Digest, "sha256:")}}}
}

// all is the image, if there is one, and the commit.
func (a About) all() []Subject {
	out := a.image()
	if a.Commit == "" {
		return out
	}
	commit := Subject{Name: a.Repository, Digest: map[string]string{"gitCommit": a.Commit}}
	if a.Run != "" {
		commit.Annotations = map[string]any{runAnnotation: a.Run}
	}
	return append(out, commit)
}

// statement puts a predicate of one of our own types into a statement.
func statement(subjects []Subject, predicateType string, predicate any) Statement {
	return Statement{Type: StatementType, Subject: subjects, PredicateType: predicateType, Predicate: tracedb.MustJSON(predicate)}
}

// reading starts with what the subjects say.
func (st Statement) reading() (Reading, error) {
	var r Reading
	for i, s := range st.Subject {
		if digest, ok := s.Digest["sha256"]; ok {
			r.Images = append(r.Images, "sha256:"+digest)
			r.ref(tracedb.RefImage, "sha256:"+digest)
		}
		commit, ok := s.Digest["gitCommit"]
		if !ok {
			continue
		}
		if r.Commit != "" && r.Commit != commit {
			return Reading{}, refuse("", "want one commit in all").At("subject[%d]", i)
		}
		r.Commit = commit
		r.ref(tracedb.RefCommit, commit)
		if (tracedb.Ref{Type: tracedb.RefRepository, Value: s.Name}).Check() == nil {
			r.Repository = s.Name
			r.ref(tracedb.RefRepository, s.Name)
		}
		if run, ok := s.Annotations[runAnnotation].(string); ok {
			if err := r.run(run); err != nil {
				return Reading{}, err.At("subject[%d].annotations", i)
			}
		}
	}
	return r, nil
}

func (r *Reading) ref(t tracedb.RefType, value string) {
	r.Refs = append(r.Refs, tracedb.Ref{Type: t, Value: value})
}

func (r *Reading) run(run string) *tracedb.Error {
	if err := (tracedb.Ref{Type: tracedb.RefRun, Value: run}).Check(); err != nil {
		return refuse(runAnnotation, "%s", err)
	}
	r.Run = run
	r.ref(tracedb.RefRun, run)
	return nil
}
