package pipelines_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"knative.dev/pkg/apis"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/pipelines"
)

// documents gives every YAML document of the folder, by kind/name.
func documents(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := fs.WalkDir(pipelines.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "kustomization.yaml" {
			return err
		}
		data, err := fs.ReadFile(pipelines.FS, name)
		if err != nil {
			return err
		}
		r := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
		for {
			doc, err := r.Read()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			var meta metav1.PartialObjectMetadata
			if err := sigsyaml.Unmarshal(doc, &meta); err != nil {
				return err
			}
			out[meta.Kind+"/"+meta.Name] = doc
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type object interface {
	apis.Validatable
	apis.Defaultable
}

// parse reads a document the way Tekton's webhook does: strictly, with defaults, and validated.
func parse(t *testing.T, doc []byte, into object) {
	t.Helper()
	if err := sigsyaml.UnmarshalStrict(doc, into); err != nil {
		t.Fatal(err)
	}
	into.SetDefaults(context.Background())
	if err := into.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestTektonAccepts(t *testing.T) {
	kinds := map[string]func() object{
		"Task":     func() object { return &v1.Task{} },
		"Pipeline": func() object { return &v1.Pipeline{} },
	}
	seen := map[string]int{}
	for name, doc := range documents(t) {
		kind, _, _ := strings.Cut(name, "/")
		if kinds[kind] == nil {
			continue
		}
		seen[kind]++
		t.Run(name, func(t *testing.T) { parse(t, doc, kinds[kind]()) })
	}
	if seen["Task"] != 9 || len(seen) != len(kinds) {
		t.Errorf("documents found: %v", seen)
	}
}

// trigger is what starts a release.
type trigger struct {
	Run json.RawMessage
}

func release(t *testing.T) trigger {
	t.Helper()
	data, err := fs.ReadFile(pipelines.FS, "release/trigger.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out trigger
	data = bytes.Replace(data, []byte("${services}"), []byte("{}"), 1)
	if err := sigsyaml.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// startedRun gives the run that a webhook starts.
func startedRun(t *testing.T) *v1.PipelineRun {
	t.Helper()
	var run v1.PipelineRun
	if err := sigsyaml.UnmarshalStrict(release(t).Run, &run); err != nil {
		t.Fatal(err)
	}
	if run.GenerateName == "" {
		t.Error("two runs for one repository would have one name")
	}
	run.Name = "named-by-the-server"
	run.SetDefaults(context.Background())
	if err := run.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return &run
}

// TestPipelineFitsTasks checks what Tekton would only find in a run: that each
// task gets the parameters and workspaces that it declares, and no others.
func TestPipelineFitsTasks(t *testing.T) {
	docs := documents(t)
	var p v1.Pipeline
	parse(t, docs["Pipeline/release"], &p)
	accounts := map[string]string{}
	for _, s := range startedRun(t).Spec.TaskRunSpecs {
		accounts[s.PipelineTaskName] = s.ServiceAccountName
	}
	for _, pt := range slices.Concat(p.Spec.Tasks, p.Spec.Finally) {
		var task v1.Task
		parse(t, docs["Task/"+pt.TaskRef.Name], &task)
		given := map[string]bool{}
		for _, param := range pt.Params {
			given[param.Name] = true
		}
		for _, w := range pt.Workspaces {
			given["workspace "+w.Name] = true
		}
		for _, param := range task.Spec.Params {
			if !given[param.Name] {
				t.Errorf("%s lacks parameter %s", pt.Name, param.Name)
			}
			delete(given, param.Name)
		}
		for _, w := range task.Spec.Workspaces {
			if !given["workspace "+w.Name] {
				t.Errorf("%s lacks workspace %s", pt.Name, w.Name)
			}
			delete(given, "workspace "+w.Name)
		}
		for extra := range given {
			t.Errorf("%s is given %s, which it doesn't know", pt.Name, extra)
		}
		if want := "step-" + pt.Name; accounts[pt.Name] != want {
			t.Errorf("%s runs as %q, want %q", pt.Name, accounts[pt.Name], want)
		}
	}
}

// TestEachPodHasOnlyWhatItNeeds is control C6: who holds which secret, who has
// a token, who is root.
func TestEachPodHasOnlyWhatItNeeds(t *testing.T) {
	tests := []struct {
		task    string
		secrets string
		token   bool
		// audience of the one token that is mounted by itself
		audience string
		root     string // the one step that may be root
	}{
		{task: "test"},
		{task: "check"},
		{task: "build", root: "kaniko"},
		{task: "push", secrets: "registry-writer"},
		{task: "sign", secrets: "signing-key registry-writer"},
		{task: "record", audience: "tracedb"},
		{task: "withdraw", audience: "tracedb"},
		{task: "promote", secrets: "gitea-promoter"},
		{task: "approve", secrets: "gitea-approver", token: true},
	}
	docs := documents(t)
	for _, tt := range tests {
		t.Run(tt.task, func(t *testing.T) {
			var task v1.Task
			parse(t, docs["Task/"+tt.task], &task)
			var secrets []string
			var audience string
			for _, v := range task.Spec.Volumes {
				switch {
				case v.Secret != nil:
					secrets = append(secrets, v.Secret.SecretName)
				case v.Projected != nil && len(v.Projected.Sources) == 1 && v.Projected.Sources[0].ServiceAccountToken != nil:
					token := v.Projected.Sources[0].ServiceAccountToken
					audience = token.Audience
					// Kubernetes gives none for less.
					if token.ExpirationSeconds == nil || *token.ExpirationSeconds != 600 {
						t.Errorf("the token lives for %v seconds", token.ExpirationSeconds)
					}
				case v.ConfigMap == nil && v.EmptyDir == nil:
					t.Errorf("volume %s is of a kind that no task needs", v.Name)
				}
			}
			if got := strings.Join(secrets, " "); got != tt.secrets {
				t.Errorf("secrets %q, want %q", got, tt.secrets)
			}
			if audience != tt.audience {
				t.Errorf("token for %q, want %q", audience, tt.audience)
			}
			var sa corev1.ServiceAccount
			if err := sigsyaml.UnmarshalStrict(docs["ServiceAccount/step-"+tt.task], &sa); err != nil {
				t.Fatal(err)
			}
			if sa.AutomountServiceAccountToken == nil || *sa.AutomountServiceAccountToken != tt.token {
				t.Errorf("token mounted: %v, want %v", sa.AutomountServiceAccountToken, tt.token)
			}
			for _, s := range task.Spec.Steps {
				checkStep(t, task.Spec, s, s.Name == tt.root)
			}
		})
	}
}

func checkStep(t *testing.T, spec v1.TaskSpec, s v1.Step, root bool) {
	t.Helper()
	if len(s.Command) == 0 || s.Script != "" {
		t.Errorf("step %s: without a command Tekton asks the image's registry for one", s.Name)
	}
	for _, e := range s.Env {
		if e.ValueFrom != nil {
			t.Errorf("step %s: %s comes from an object", s.Name, e.Name)
		}
	}
	sc := s.SecurityContext
	if sc == nil && spec.StepTemplate != nil {
		sc = spec.StepTemplate.SecurityContext
	}
	switch {
	case sc == nil || sc.RunAsNonRoot == nil || sc.AllowPrivilegeEscalation == nil || sc.Capabilities == nil || sc.SeccompProfile == nil:
		t.Errorf("step %s: incomplete security context", s.Name)
	case *sc.RunAsNonRoot == root:
		t.Errorf("step %s: non-root is %v", s.Name, *sc.RunAsNonRoot)
	case *sc.AllowPrivilegeEscalation || len(sc.Capabilities.Drop) != 1 || sc.Capabilities.Drop[0] != "ALL":
		t.Errorf("step %s may gain privileges", s.Name)
	case !root && (len(sc.Capabilities.Add) > 0 || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem):
		t.Errorf("step %s isn't restricted", s.Name)
	}
}
