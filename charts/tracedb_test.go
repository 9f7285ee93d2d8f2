package charts_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chartutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

func TestTracedbGolden(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"tracedb":          {"name": "test", "port": 9443},
		"tracedb-postgres": {"replicas": 2, "postgres": map[string]any{"dsnSecret": "trace-dsn"}},
	} {
		t.Run(name, func(t *testing.T) {
			objs := render(t, "tracedb", values)
			var got bytes.Buffer
			for _, id := range slices.Sorted(maps.Keys(objs)) {
				got.WriteString("---\n" + strings.TrimSpace(string(objs[id])) + "\n")
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("run with -update if this is meant (-want +got):\n%s", diff)
			}
		})
	}
}

// What cmd/tracedb is configured with, as it reads it.
type tracedbConfig struct {
	Name, Store, DSNFile, Listen, Health string

	TLS                    struct{ Cert, Key string }
	CA, SigningKey         string
	Keyring                []struct{ Name, File string }
	AdmissionTokenFile     string
	GiteaWebhookSecretFile string
	SessionKeyFile         string
	Gitea                  struct{ PublicURL, TokenFile string }
	OAuth                  struct{ ClientIDFile, ClientSecretFile, RedirectURL string }
}

func (c tracedbConfig) files() []string {
	files := []string{
		c.TLS.Cert, c.TLS.Key, c.CA, c.SigningKey, c.AdmissionTokenFile, c.GiteaWebhookSecretFile,
		c.SessionKeyFile, c.Gitea.TokenFile, c.OAuth.ClientIDFile, c.OAuth.ClientSecretFile,
	}
	for _, k := range c.Keyring {
		files = append(files, k.File)
	}
	if c.DSNFile != "" {
		files = append(files, c.DSNFile)
	}
	return files
}

// mounted are the files that a pod finds in its projected and config map
// volumes; of the latter, whose keys aren't listed, the folder alone.
func mounted(pod corev1.PodSpec) map[string]bool {
	at := map[string]string{}
	for _, m := range pod.Containers[0].VolumeMounts {
		at[m.Name] = m.MountPath + "/"
	}
	files := map[string]bool{}
	for _, v := range pod.Volumes {
		switch {
		case v.ConfigMap != nil:
			files[at[v.Name]] = true
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				var items []corev1.KeyToPath
				if s.Secret != nil {
					items = append(items, s.Secret.Items...)
				}
				if s.ConfigMap != nil {
					items = append(items, s.ConfigMap.Items...)
				}
				for _, i := range items {
					files[at[v.Name]+i.Path] = true
				}
			}
		}
	}
	return files
}

// A file that the configuration names and nothing mounts would only show as a
// pod that doesn't start.
func TestTracedbFindsEveryFileThatItsConfigurationNames(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"beside a volume":   nil,
		"beside PostgreSQL": {"postgres": map[string]any{"dsnSecret": "trace-dsn"}},
	} {
		t.Run(name, func(t *testing.T) {
			objs := render(t, "tracedb", values)
			var pod corev1.PodSpec
			if values == nil {
				pod = decode[appsv1.StatefulSet](t, objs["StatefulSet/tracedb"]).Spec.Template.Spec
			} else {
				pod = decode[appsv1.Deployment](t, objs["Deployment/tracedb"]).Spec.Template.Spec
			}
			var config tracedbConfig
			raw := decode[corev1.ConfigMap](t, objs["ConfigMap/tracedb-config"]).Data["config.yaml"]
			if err := yaml.Unmarshal([]byte(raw), &config); err != nil {
				t.Fatal(err)
			}
			have := mounted(pod)
			for _, file := range config.files() {
				if file == "" || !have[file] && !have[filepath.Dir(file)+"/"] {
					t.Errorf("the configuration names %q, which no volume brings: %v", file, slices.Sorted(maps.Keys(have)))
				}
			}
			if ours := config.DSNFile == ""; ours != strings.HasPrefix(config.Store, "sqlite:/data/") {
				t.Errorf("store %q with the address in %q", config.Store, config.DSNFile)
			}
		})
	}
}

func TestTracedbPodMayDoNoMoreThanItNeeds(t *testing.T) {
	objs := render(t, "tracedb", nil)
	set := decode[appsv1.StatefulSet](t, objs["StatefulSet/tracedb"])
	pod := set.Spec.Template.Spec
	if p := set.Spec.PersistentVolumeClaimRetentionPolicy; p == nil || p.WhenDeleted != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		t.Errorf("the evidence goes with the server: %+v", p)
	}
	if *set.Spec.Replicas != 1 || len(set.Spec.VolumeClaimTemplates) != 1 {
		t.Errorf("%d replicas with %d volumes: SQLite has one writer", *set.Spec.Replicas, len(set.Spec.VolumeClaimTemplates))
	}
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser != 65532 ||
		pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod security context %+v", pod.SecurityContext)
	}
	for _, c := range pod.Containers {
		sc := c.SecurityContext
		if *sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem || sc.Capabilities.Drop[0] != "ALL" || len(sc.Capabilities.Add) != 0 {
			t.Errorf("%s: security context %+v", c.Name, sc)
		}
		if len(c.Command) == 0 {
			t.Errorf("%s: no command, so it depends on the image's", c.Name)
		}
	}
	for id, doc := range objs {
		var rules []rbacv1.PolicyRule
		switch kind, _, _ := strings.Cut(id, "/"); kind {
		case "ClusterRole":
			rules = decode[rbacv1.ClusterRole](t, doc).Rules
		case "Role":
			rules = decode[rbacv1.Role](t, doc).Rules
		case "ServiceAccount":
			if a := decode[corev1.ServiceAccount](t, doc).AutomountServiceAccountToken; a == nil || *a {
				t.Errorf("%s: its token gets into any pod that names it", id)
			}
		}
		for _, r := range rules {
			for _, verb := range r.Verbs {
				reads := slices.Contains([]string{"get", "list", "watch"}, verb)
				if asks := verb == "create" && slices.Equal(r.Resources, []string{"tokenreviews"}); !reads && !asks {
					t.Errorf("%s may %s %v", id, verb, r.Resources)
				}
			}
			if slices.Contains(r.Resources, "secrets") || slices.Contains(r.Resources, "*") {
				t.Errorf("%s may read %v", id, r.Resources)
			}
		}
	}
}

// Tenants' pods neither write evidence nor ask for it.
func TestTracedbListensToThePlatformAlone(t *testing.T) {
	p := decode[networkingv1.NetworkPolicy](t, render(t, "tracedb", nil)["NetworkPolicy/tracedb"])
	if diff := cmp.Diff([]networkingv1.PolicyType{"Ingress", "Egress"}, p.Spec.PolicyTypes); diff != "" {
		t.Errorf("policy types: %s", diff)
	}
	for _, in := range p.Spec.Ingress {
		if in.Ports[0].Port.StrVal == "health" {
			continue
		}
		if len(in.From) == 0 {
			t.Errorf("port %s is open to everybody", in.Ports[0].Port.StrVal)
		}
		for _, from := range in.From {
			names := map[string]bool{}
			if s := from.NamespaceSelector; s != nil {
				names[s.MatchLabels["kubernetes.io/metadata.name"]] = true
				for _, e := range s.MatchExpressions {
					for _, v := range e.Values {
						names[v] = true
					}
				}
			}
			delete(names, "")
			for _, ours := range []string{"foundry", "kyverno", "druppie-system", "gitea", "kube-system"} {
				delete(names, ours)
			}
			if from.NamespaceSelector == nil || len(names) > 0 {
				t.Errorf("open to %v: %+v", names, from)
			}
		}
	}
}

func TestTracedbSchemaRefusesWhatCantBe(t *testing.T) {
	tests := []struct {
		name   string
		values map[string]any
		want   string // part of the refusal; empty: none
	}{
		{"defaults", nil, ""},
		{"two beside PostgreSQL", map[string]any{"replicas": 2, "postgres": map[string]any{"dsnSecret": "dsn"}}, ""},
		{"two writers of one SQLite", map[string]any{"replicas": 2}, "replicas"},
		{"a typo", map[string]any{"prot": 9443}, "prot"},
		{"no port", map[string]any{"port": 0}, "port"},
		{"an unknown role", map[string]any{"roles": []any{map[string]any{"subject": "s", "roles": []any{"admin"}}}}, "roles"},
		{"a writer of nothing in particular", map[string]any{"roles": []any{map[string]any{"subject": "s", "roles": []any{"writer"}}}}, "kinds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, "tracedb")
			_, err := chartutil.ToRenderValues(c, tt.values, chartutil.ReleaseOptions{}, nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}
