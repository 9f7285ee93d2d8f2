package tenant_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/ui"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name     string
		services []string
		want     string // empty: fine
	}{
		{"water", []string{"pump-service", "a"}, ""},
		{strings.Repeat("a", 40), []string{strings.Repeat("b", 40)}, ""},
		{"", []string{"a"}, "a name has"},
		{strings.Repeat("a", 41), []string{"a"}, "a name has"},
		{"Water", []string{"a"}, "a name has"},
		{"wa_ter", []string{"a"}, "a name has"},
		{"1water", []string{"a"}, "a name has"},
		{"water-", []string{"a"}, "a name has"},
		{"a/../b", []string{"a"}, "a name has"},
		{"water\n", []string{"a"}, "a name has"},
		{"foundry", []string{"a"}, "the platform itself"},
		{"flux-system", []string{"a"}, "the platform itself"},
		{"kube-system", []string{"a"}, "the platform itself"},
		{"default", []string{"a"}, "the platform itself"},
		{"water", nil, "no service"},
		{"water", []string{"a b"}, "a name has"},
		{"water", []string{""}, "a name has"},
		{"water", []string{"fleet"}, "the platform itself"},
		{"water", []string{"platform"}, "the platform itself"},
		{"water", []string{"trace"}, "the platform itself"},
	} {
		err := tenant.Tenant{Name: tt.name, Services: tt.services}.Validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q %q: got %v, want %q", tt.name, tt.services, err, tt.want)
		}
	}
}

func tenantNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"druppie.io/tenant": "true", "kustomize.toolkit.fluxcd.io/name": "tenants",
	}}}
}

func water(services ...string) tenant.Tenant { return tenant.Tenant{Name: "water", Services: services} }

func TestEnsure(t *testing.T) {
	c := fake.NewClientBuilder().WithObjects(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mine"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "labelled", Labels: map[string]string{"druppie.io/tenant": "true"}}},
	).Build()
	version := func() string {
		kept := &corev1.ConfigMap{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "druppie-system", Name: "tenants"}, kept); err != nil {
			t.Fatal(err)
		}
		return kept.ResourceVersion
	}
	drones := tenant.Sample()[0]
	for _, tt := range []struct {
		what string
		add  []tenant.Tenant
		want []tenant.Tenant
	}{
		{"a new platform", nil, []tenant.Tenant{drones}},
		{"another one", []tenant.Tenant{water("pump")}, []tenant.Tenant{drones, water("pump")}},
		{"again", []tenant.Tenant{water("pump")}, []tenant.Tenant{drones, water("pump")}},
		{"none", nil, []tenant.Tenant{drones, water("pump")}},
		{"another service", []tenant.Tenant{water("lock")}, []tenant.Tenant{drones, water("lock", "pump")}},
		{"first in order", []tenant.Tenant{{Name: "air", Services: []string{"b", "a", "b"}}},
			[]tenant.Tenant{{Name: "air", Services: []string{"a", "b"}}, drones, water("lock", "pump")}},
	} {
		for range 2 {
			got, err := tenant.Ensure(t.Context(), c, tt.add...)
			if err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s:\n%s", tt.what, diff)
			}
		}
	}
	// By then Flux has made it.
	if err := c.Create(t.Context(), tenantNamespace("water")); err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.Ensure(t.Context(), c, water("pump")); err != nil {
		t.Errorf("one whose namespace is there: %v", err)
	}
	before := version()
	for want, add := range map[string]tenant.Tenant{
		"is tenant drones's already":     water("drone-service"),
		"it isn't a tenant's":            {Name: "mine", Services: []string{"mine-service"}},
		"namespace labelled already":     {Name: "labelled", Services: []string{"mine-service"}},
		"the platform itself":            {Name: "gitea", Services: []string{"mine-service"}},
		"a repository of that name":      water("fleet"),
		"service pump is tenant water's": {Name: "fire", Services: []string{"pump"}},
	} {
		_, err := tenant.Ensure(t.Context(), c, add)
		if err == nil || !strings.Contains(err.Error(), want) || ui.ExitCode(err) != 2 {
			t.Errorf("%+v: got %v (exit %d), want %q", add, err, ui.ExitCode(err), want)
		}
	}
	if after := version(); after != before {
		t.Error("a refusal changed the list")
	}
}

// Whoever broke the list by hand is told, and nothing is put over it: what isn't in it, Flux would take away.
func TestEnsureKeepsWhatItCantRead(t *testing.T) {
	for _, list := range []string{
		"- who: knows\n", "", "[]", "- {name: water, services: []}", "- {name: Water, services: [pump]}",
		"- {name: water, services: [pump]}\n- {name: fire, services: [pump]}",
	} {
		c := fake.NewClientBuilder().WithObjects(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "druppie-system", Name: "tenants"}, Data: map[string]string{"tenants.yaml": list},
		}).Build()
		if got, err := tenant.Ensure(t.Context(), c, water("lock")); err == nil || !strings.Contains(err.Error(), "druppie-system/tenants") {
			t.Errorf("%q: got %v, %v", list, got, err)
		}
		if got, err := tenant.List(t.Context(), c); err == nil {
			t.Errorf("%q: got %v", list, got)
		}
	}
}

// Where the list is gone and the tenants aren't, nothing begins anew.
func TestEnsureBeginsOnlyWhereNobodyIs(t *testing.T) {
	for name, ok := range map[string]bool{"drones": true, "water": false} {
		c := fake.NewClientBuilder().WithObjects(tenantNamespace(name)).Build()
		if got, err := tenant.Ensure(t.Context(), c); (err == nil) != ok {
			t.Errorf("with a namespace %s: got %v, %v", name, got, err)
		}
	}
}

func TestServices(t *testing.T) {
	got, err := tenant.Services(append(tenant.Sample(), water("pump")))
	want := `{"druppie/drone-service":"drones","druppie/level-service":"drones","druppie/pump":"water"}`
	if err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
}
