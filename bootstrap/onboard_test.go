package bootstrap

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/tenant"
)

// twoTenants are the sample and one whose names YAML could take for something else than text.
func twoTenants() []tenant.Tenant {
	return append(tenant.Sample(), tenant.Tenant{Name: "true", Services: []string{"null"}})
}

func renderFor(t *testing.T, name string, tenants []tenant.Tenant) []*unstructured.Unstructured {
	t.Helper()
	q, err := part.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	r := testPlatform(t, nil).renderer()
	r.tenants = tenants
	objs, _, err := r.part(q)
	if err != nil {
		t.Fatal(err)
	}
	return objs
}

// Each tenant has the same objects, in a namespace of its own, and an account that has rights there and nowhere else.
func TestEachTenantIsRendered(t *testing.T) {
	kinds := map[string][]string{}
	for _, o := range renderFor(t, part.Tenants, twoTenants()) {
		of := o.GetNamespace()
		switch o.GetKind() {
		case "Namespace":
			of = o.GetName()
			if o.GetLabels()["druppie.io/tenant"] != "true" || o.GetLabels()["pod-security.kubernetes.io/enforce"] != "restricted" {
				t.Errorf("%s: labels %v", of, o.GetLabels())
			}
		case "ServiceAccount":
			of = strings.TrimPrefix(o.GetName(), "tenant-")
		case "RoleBinding":
			subjects, _, err := unstructured.NestedSlice(o.Object, "subjects")
			if err != nil || len(subjects) != 1 || subjects[0].(map[string]any)["name"] != "tenant-"+of {
				t.Errorf("%s: the rights are %v's: %v", of, subjects, err)
			}
		}
		kinds[of] = append(kinds[of], o.GetKind())
	}
	want := []string{"LimitRange", "Namespace", "NetworkPolicy", "NetworkPolicy", "NetworkPolicy", "ResourceQuota", "Role", "RoleBinding", "ServiceAccount"}
	for name, got := range kinds {
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	if len(kinds) != 2 || kinds["drones"] == nil || kinds["true"] == nil {
		t.Errorf("tenants: %v", kinds)
	}
}

// What has a webhook is built when it comes onto main, and watched in case its event is lost: both go by one list.
func TestEveryServiceIsBuiltAndWatched(t *testing.T) {
	triggers, mounted := "", map[string]string{}
	for _, o := range renderFor(t, "pipelines", twoTenants()) {
		switch {
		case o.GetKind() == "ConfigMap" && strings.HasPrefix(o.GetName(), "triggers"):
			triggers = o.GetName()
			data, _, err := unstructured.NestedString(o.Object, "data", "trigger.yaml")
			if err != nil {
				t.Fatal(err)
			}
			var trigger struct{ Services map[string]string }
			if err := yaml.Unmarshal([]byte(data), &trigger); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"druppie/drone-service": "drones", "druppie/level-service": "drones", "druppie/null": "true"}
			if diff := cmp.Diff(want, trigger.Services); diff != "" {
				t.Errorf("what is built:\n%s", diff)
			}
		case o.GetKind() == "Deployment":
			volumes, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "volumes")
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range volumes {
				if v := v.(map[string]any); v["name"] == "triggers" {
					mounted[o.GetName()], _, _ = unstructured.NestedString(v, "configMap", "name")
				}
			}
		}
	}
	if diff := cmp.Diff(map[string]string{"listener": triggers, "watch": triggers}, mounted); diff != "" || triggers == "triggers" {
		t.Errorf("triggers are in %q, and read from:\n%s", triggers, diff)
	}
}
