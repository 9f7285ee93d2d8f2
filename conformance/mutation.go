package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/druppie/druppie-up/internal/text"
)

// Mutation weakens one control of a running platform. It is data, and who reads it knows what was changed.
type Mutation struct {
	Name    string    `json:"name"`
	Control string    `json:"control"`
	Layer   string    `json:"layer"` // what enforces the control here
	What    text.Text `json:"what"`  // is changed
	By      string    `json:"by"`    // who could do that
	// Parts are what Flux installs the changed objects with: it leaves them alone meanwhile, and what it
	// applies afterwards is the proof that all is as before.
	Parts  []string `json:"parts"`
	Change []Change `json:"change"`
	// Settle is how long what enforces the control may take to take the change in, or its undoing.
	Settle Duration `json:"settle"`
	// Red is what must turn red: the scenario, and the phase in which it notices.
	Red Red `json:"red"`
}

// Change is one object of the cluster that is changed or deleted, or settings in Gitea that are changed.
type Change struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
	// Patch is a JSON patch of the object (RFC 6902); without one the object is deleted.
	Patch []map[string]any `json:"patch,omitempty"`

	Gitea *GiteaChange `json:"gitea,omitempty"`
}

// GiteaChange sets settings at a path of Gitea's API, such as /repos/owner/name/branch_protections/main. Where
// the path is a list's, where says which of it by the texts of its fields, with dots between those within others, and
// the settings have an id.
type GiteaChange struct {
	Path  string            `json:"path"`
	Where map[string]string `json:"where,omitempty"`
	Set   map[string]any    `json:"set"`
}

func (c Change) String() string {
	switch {
	case c.Gitea != nil:
		return "Gitea's " + c.Gitea.Path
	case c.Namespace == "":
		return c.Kind + " " + c.Name
	}
	return c.Kind + " " + c.Namespace + "/" + c.Name
}

// Red is a failure that a mutation must cause.
type Red struct {
	Scenario string `json:"scenario"`
	Phase    string `json:"phase"`
}

// Duration is written as Go writes durations: 10s.
type Duration struct{ time.Duration }

// MarshalJSON writes a duration.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a duration.
func (d *Duration) UnmarshalJSON(data []byte) (err error) {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	d.Duration, err = time.ParseDuration(s)
	return err
}

func (m Mutation) validate(s Suite) error {
	var errs []error
	if !s.has(m.Control) {
		errs = append(errs, fmt.Errorf("it weakens %q, which isn't in controls.yaml", m.Control))
	}
	if !slices.Contains(s.Proving(m.Control), m.Red.Scenario) {
		errs = append(errs, fmt.Errorf("scenario %q, which must turn red, doesn't prove %s", m.Red.Scenario, m.Control))
	}
	if m.What.EN == "" || m.What.NL == "" || m.Layer == "" || m.By == "" || m.Red.Phase == "" {
		errs = append(errs, errors.New("what (in English and Dutch), layer, by and red.phase are wanted"))
	}
	if len(m.Change) == 0 {
		errs = append(errs, errors.New("it changes nothing"))
	}
	for _, c := range m.Change {
		if isObject := c.APIVersion != "" && c.Kind != "" && c.Name != ""; isObject == (c.Gitea != nil && c.Gitea.Path != "" && len(c.Gitea.Set) > 0) {
			errs = append(errs, fmt.Errorf("%s: a change is of an object (apiVersion, kind, name) or of settings in Gitea (path, set)", c))
		}
	}
	return errors.Join(errs...)
}

// ErrApplied says that a mutation is applied already: by a run that goes on, or by one that was killed.
var ErrApplied = errors.New("another mutation is applied")

// Cluster is what a mutation needs of a platform.
type Cluster interface {
	// Mutate keeps what is to be changed where Undo finds it, changes it, and sees that it is changed.
	// Where another mutation is applied it changes nothing, and the error is ErrApplied.
	Mutate(ctx context.Context, m Mutation) error
	// Applied names the mutation that is applied; empty: none.
	Applied(ctx context.Context) (string, error)
	// Undo puts back whatever a mutation has changed, killed in the middle or not, and sees that all is
	// as it was. Where nothing is to be undone it does nothing. It names the mutation; empty: none.
	Undo(ctx context.Context) (mutation string, err error)
}
