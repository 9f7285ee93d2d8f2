package attest

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// releaseType is how the foundry builds: clone at a commit, build without network rights or secrets,
// push by digest.
const releaseType = "https://druppie.io/foundry/release/v1"

// Build is how an image came to be.
type Build struct {
	Builder  string // URI of who built
	Type     string // URI of how; empty: the foundry's release pipeline
	Source   string // URL of the repository, without user or password
	Started  time.Time
	Finished time.Time
	// Images are those that went into it, mostly bases: name -> sha256:…
	Images map[string]string
}

// SLSA is the predicate of https://slsa.dev/provenance/v1, as far as the log reads it.
type SLSA struct {
	BuildDefinition struct {
		BuildType          string `json:"buildType"`
		ExternalParameters struct {
			Repository string `json:"repository"` // owner/name
			Revision   string `json:"revision"`
		} `json:"externalParameters"`
		ResolvedDependencies []Dependency `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string    `json:"invocationId,omitempty"` // namespace/name of the pipeline run
			StartedOn    time.Time `json:"startedOn,omitzero"`
			FinishedOn   time.Time `json:"finishedOn,omitzero"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// Dependency is what went into a build.
type Dependency struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

// Provenance is SLSA provenance v1: the image was built from that commit of that repository.
func Provenance(a About, b Build) Statement {
	var p SLSA
	p.BuildDefinition.BuildType = b.Type
	if b.Type == "" {
		p.BuildDefinition.BuildType = releaseType
	}
	p.BuildDefinition.ExternalParameters.Repository = a.Repository
	p.BuildDefinition.ExternalParameters.Revision = a.Commit
	source := Dependency{Name: a.Repository, Digest: map[string]string{"gitCommit": a.Commit}}
	if b.Source != "" {
		source.URI = "git+" + b.Source
	}
	p.BuildDefinition.ResolvedDependencies = []Dependency{source}
	for name, digest := range b.Images {
		p.BuildDefinition.ResolvedDependencies = append(p.BuildDefinition.ResolvedDependencies,
			Dependency{Name: name, Digest: map[string]string{"sha256": strings.TrimPrefix(digest, "sha256:")}})
	}
	slices.SortFunc(p.BuildDefinition.ResolvedDependencies[1:], func(a, b Dependency) int { return strings.Compare(a.Name, b.Name) })
	p.RunDetails.Builder.ID = b.Builder
	p.RunDetails.Metadata.InvocationID = a.Run
	p.RunDetails.Metadata.StartedOn = tracedb.Instant(b.Started)
	p.RunDetails.Metadata.FinishedOn = tracedb.Instant(b.Finished)
	return statement(a.image(), "https://slsa.dev/provenance/v1", p)
}

// provenance reads who built what from which source. The repository and the revision are what
// decides later whose image it is, so both must be there, and the revision among the materials.
func (r *Reading) provenance(st Statement) error {
	var p SLSA
	if err := st.decode(&p); err != nil {
		return err
	}
	def := p.BuildDefinition
	err := cmp.Or(
		want("buildDefinition.buildType", def.BuildType),
		want("runDetails.builder.id", p.RunDetails.Builder.ID),
		check("buildDefinition.externalParameters.repository", tracedb.RefRepository, def.ExternalParameters.Repository),
		check("buildDefinition.externalParameters.revision", tracedb.RefCommit, def.ExternalParameters.Revision),
	)
	if err != nil {
		return err
	}
	repository, revision := def.ExternalParameters.Repository, def.ExternalParameters.Revision
	if !slices.ContainsFunc(def.ResolvedDependencies, func(d Dependency) bool { return d.Digest["gitCommit"] == revision }) {
		return refuse("predicate.buildDefinition.resolvedDependencies", "want the revision among them, as a gitCommit")
	}
	if r.Commit != "" && r.Commit != revision {
		return refuse("predicate.buildDefinition.externalParameters.revision", "the subject names another commit")
	}
	if r.Repository != "" && r.Repository != repository {
		return refuse("predicate.buildDefinition.externalParameters.repository", "the subject names another repository")
	}
	r.Repository, r.Commit = repository, revision
	r.ref(tracedb.RefRepository, repository)
	r.ref(tracedb.RefCommit, revision)
	if id := p.RunDetails.Metadata.InvocationID; id != "" {
		if err := r.run(id); err != nil {
			return refuse("predicate.runDetails.metadata.invocationId", "want namespace/name of the pipeline run")
		}
	}
	r.Summary = "built from " + repository + " at " + revision[:12] + " by " + p.RunDetails.Builder.ID
	r.SummaryNL = "gebouwd uit " + repository + " op " + revision[:12] + " door " + p.RunDetails.Builder.ID
	r.Detail = &p
	return nil
}

// check refuses a value that isn't of that type's shape.
func check(field string, t tracedb.RefType, value string) error {
	if err := (tracedb.Ref{Type: t, Value: value}).Check(); err != nil {
		return refuse("predicate."+field, "%s", err)
	}
	return nil
}
