package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/cel-go/cel"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/text"
)

// Profile is the list of checks of somebody's standard.
type Profile []Requirement

// Requirement is one check: a question to the cluster, or why it can't be asked.
type Requirement struct {
	ID       string                     `json:"id"`
	Category string                     `json:"category"`
	Title    text.Text                  `json:"title"`
	Asks     map[string]metav1.TypeMeta `json:"asks,omitempty"`    // the lists of objects that Holds speaks of
	Holds    string                     `json:"holds,omitempty"`   // CEL
	Deviates text.Text                  `json:"deviates,omitzero"` // why it may be otherwise
	Unasked  text.Text                  `json:"unasked,omitzero"`  // why it can't be asked
}

// Answer is what a cluster says to a requirement.
type Answer struct {
	ID       string    `json:"id"`
	Category string    `json:"category"`
	Title    text.Text `json:"title"`
	Outcome  Outcome   `json:"outcome"`
	Why      text.Text `json:"why,omitzero"`
}

// Outcome is how an answer ends.
type Outcome string

// The outcomes. Only NotOK is a fault.
const (
	OK       Outcome = "ok"
	Deviates Outcome = "deviates" // it isn't so, and that was declared
	NotOK    Outcome = "not ok"
	NotAsked Outcome = "can't be asked here"
)

// LoadProfile reads a profile. It refuses a question that isn't one, and a requirement that has neither a question
// nor a reason for having none.
func LoadProfile(data []byte) (Profile, error) {
	var p Profile
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		return nil, fmt.Errorf("read the profile: %w", err)
	}
	var errs []error
	seen := map[string]bool{}
	for _, r := range p {
		if r.ID == "" || seen[r.ID] || r.Title.EN == "" || r.Title.NL == "" {
			errs = append(errs, fmt.Errorf("requirement %q: an id of its own and a title in English and Dutch are wanted", r.ID))
		}
		seen[r.ID] = true
		asked, unasked := r.Holds != "" && len(r.Asks) > 0, r.Unasked.EN != "" && r.Unasked.NL != ""
		if asked == unasked || (r.Deviates != text.Text{} && !asked) {
			errs = append(errs, fmt.Errorf("requirement %s: either a question with what it asks of, or why there is none", r.ID))
			continue
		}
		if asked {
			if _, err := r.program(); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return p, errors.Join(errs...)
}

func (r Requirement) program() (cel.Program, error) {
	options := []cel.EnvOption{cel.OptionalTypes()}
	for name := range r.Asks {
		options = append(options, cel.Variable(name, cel.ListType(cel.DynType)))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("requirement %s: %w", r.ID, err)
	}
	ast, issues := env.Compile(r.Holds)
	if issues.Err() != nil {
		return nil, fmt.Errorf("requirement %s: %w", r.ID, issues.Err())
	}
	if ast.OutputType() != cel.BoolType {
		return nil, fmt.Errorf("requirement %s: its question is answered with %s, not with true or false", r.ID, ast.OutputType())
	}
	return env.Program(ast)
}

// Ask puts a profile's questions to the cluster, and changes nothing.
func (p Platform) Ask(ctx context.Context, profile Profile) ([]Answer, error) {
	var answers []Answer
	lists := map[metav1.TypeMeta][]any{}
	for _, r := range profile {
		a := Answer{r.ID, r.Category, r.Title, NotAsked, r.Unasked}
		if r.Holds != "" {
			holds, err := p.ask(ctx, r, lists)
			if err != nil {
				return answers, fmt.Errorf("requirement %s: %w", r.ID, err)
			}
			switch {
			case holds:
				a.Outcome = OK
			case r.Deviates != text.Text{}:
				a.Outcome, a.Why = Deviates, r.Deviates
			default:
				a.Outcome = NotOK
			}
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// ask answers one question; lists keeps what was read for the next ones.
func (p Platform) ask(ctx context.Context, r Requirement, lists map[metav1.TypeMeta][]any) (bool, error) {
	program, err := r.program()
	if err != nil {
		return false, err
	}
	values := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(r.Asks)) {
		kind := r.Asks[name]
		if _, read := lists[kind]; !read {
			if lists[kind], err = p.list(ctx, kind); err != nil {
				return false, err
			}
		}
		values[name] = lists[kind]
	}
	out, _, err := program.ContextEval(ctx, values)
	if err != nil {
		return false, err
	}
	holds, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the answer is %v", out.Value())
	}
	return holds, nil
}

func (p Platform) list(ctx context.Context, kind metav1.TypeMeta) ([]any, error) {
	gvk := schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind)
	mapping, err := p.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	found, err := p.Dynamic.Resource(mapping.Resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", mapping.Resource.Resource, err)
	}
	all := []any{}
	for _, o := range found.Items {
		all = append(all, o.Object)
	}
	return all, nil
}
