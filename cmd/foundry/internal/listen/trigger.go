package listen

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// Trigger says which pushes start a run, and what run that is.
type Trigger struct {
	// Branch is the one that is pushed to.
	Branch string `json:"branch"`
	// Services are the full names of the repositories that it is for, with the tenant of each.
	Services map[string]string `json:"services"`
	// Run is a PipelineRun. In its texts $(repository), $(name), $(revision) and $(tenant) stand for what the
	// push is about; name is the repository's without its owner.
	Run map[string]any `json:"run"`
}

// ReadTrigger reads a trigger. One that could start something else than it says is an error.
func ReadTrigger(data []byte) (Trigger, error) {
	var t Trigger
	if err := yaml.UnmarshalStrict(data, &t); err != nil {
		return t, fmt.Errorf("read a trigger: %w", err)
	}
	var errs []error
	if t.Branch == "" || len(t.Services) == 0 {
		errs = append(errs, errors.New("branch and services are wanted"))
	}
	for repository, tenant := range t.Services {
		owner, name, _ := strings.Cut(repository, "/")
		if owner == "" || name == "" || strings.Contains(name, "/") || tenant == "" {
			errs = append(errs, fmt.Errorf("services: %q: %q isn't owner/name with a tenant", repository, tenant))
		}
	}
	run := unstructured.Unstructured{Object: t.Run}
	if run.GetKind() != "PipelineRun" || run.GetAPIVersion() != "tekton.dev/v1" || run.GetGenerateName() == "" {
		errs = append(errs, errors.New("run: a PipelineRun of tekton.dev/v1 is wanted, with a generateName"))
	}
	if left := unknown(t.run(push{"owner/name", "main", strings.Repeat("1", 40)}, "tenant")); left != "" {
		errs = append(errs, fmt.Errorf("run: nothing is known that %q could stand for", left))
	}
	if err := errors.Join(errs...); err != nil {
		return t, fmt.Errorf("trigger: %w", err)
	}
	return t, nil
}

// Repositories are those of which a push to the branch starts something, sorted.
func Repositories(triggers []Trigger, branch string) []string {
	var all []string
	for _, t := range triggers {
		if t.Branch == branch {
			all = slices.AppendSeq(all, maps.Keys(t.Services))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// run is the run that a push starts.
func (t Trigger) run(p push, tenant string) map[string]any {
	_, name, _ := strings.Cut(p.repository, "/")
	replace := strings.NewReplacer("$(repository)", p.repository, "$(name)", name, "$(revision)", p.commit, "$(tenant)", tenant)
	return texts(runtime.DeepCopyJSON(t.Run), replace.Replace).(map[string]any)
}

// texts puts each text of a document through a function.
func texts(v any, change func(string) string) any {
	switch v := v.(type) {
	case string:
		return change(v)
	case []any:
		for i := range v {
			v[i] = texts(v[i], change)
		}
	case map[string]any:
		for key := range v {
			v[key] = texts(v[key], change)
		}
	}
	return v
}

// unknown is a text in which something still stands for something else; empty: there is none.
func unknown(run map[string]any) (found string) {
	texts(run, func(s string) string {
		if strings.Contains(s, "$(") {
			found = s
		}
		return s
	})
	return found
}
