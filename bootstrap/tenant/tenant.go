// Package tenant says who has services on a platform: each tenant is a namespace, and has the repositories that
// the foundry builds for it. It owns that list, which the cluster keeps, and what a name may be. It refuses to give
// a repository to two tenants or a namespace of the platform to anybody, and makes neither: rendering and Gitea's
// setup do, from the list.
package tenant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// Tenant is a namespace, and the repositories of the services that run in it.
type Tenant struct {
	Name     string   `json:"name"`
	Services []string `json:"services"` // without their owner
}

// Account is the service account in Flux's namespace that Flux applies the tenant's folder of the fleet as, and the
// name of what applies it.
func (t Tenant) Account() string { return "tenant-" + t.Name }

// Sample is what a new platform has: the sample tenant with its two services.
func Sample() []Tenant {
	return []Tenant{{Name: names.SampleTenant, Services: []string{names.RepoDroneService, names.RepoLevelService}}}
}

// Rule says what a tenant or a service may be called: a label of RFC 1035, since a Service of Kubernetes has one
// too, with room for what is put before and behind it.
const Rule = "at most 40 lower-case letters, digits and dashes, a letter at the begin and no dash at the end"

var label = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)

// Validate refuses names that can't be. It knows nothing of the other tenants.
func (t Tenant) Validate() error {
	if !label.MatchString(t.Name) {
		return fmt.Errorf("tenant %q: a name has %s", t.Name, Rule)
	}
	if part.IsNamespace(t.Name) || t.Name == "default" || strings.HasPrefix(t.Name, "kube-") {
		return fmt.Errorf("tenant %q: the platform itself has a namespace of that name", t.Name)
	}
	if len(t.Services) == 0 {
		return fmt.Errorf("tenant %s: it has no service", t.Name)
	}
	for _, s := range t.Services {
		if !label.MatchString(s) {
			return fmt.Errorf("service %q: a name has %s", s, Rule)
		}
		if !names.IsService(s) {
			return fmt.Errorf("service %q: the platform itself has a repository of that name", s)
		}
	}
	return nil
}

// Add gives the list with a tenant in it, sorted. One that is there already gets the services that it lacks.
func Add(list []Tenant, t Tenant) ([]Tenant, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	out := []Tenant{}
	for _, has := range list {
		if has.Name == t.Name {
			t.Services = slices.Concat(t.Services, has.Services)
			continue
		}
		for _, s := range t.Services {
			if slices.Contains(has.Services, s) {
				return nil, fmt.Errorf("service %s is tenant %s's already", s, has.Name)
			}
		}
		out = append(out, has)
	}
	t.Services = slices.Compact(slices.Sorted(slices.Values(t.Services)))
	out = append(out, t)
	slices.SortFunc(out, func(a, b Tenant) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Services is which tenant has which repository, by its full name, as JSON.
func Services(list []Tenant) (string, error) {
	services := map[string]string{}
	for _, t := range list {
		for _, s := range t.Services {
			services[names.Organisation+"/"+s] = t.Name
		}
	}
	out, err := json.Marshal(services)
	return string(out), err
}

// key is where the ConfigMap has the list.
const key = "tenants.yaml"

// Ensure gives the platform's tenants with these among them, and keeps that list. Where none is kept yet it begins
// with the sample. A namespace that is there and no tenant's is an error.
func Ensure(ctx context.Context, c client.Client, add ...Tenant) ([]Tenant, error) {
	var list []Tenant
	// Somebody else may add one meanwhile.
	raced := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	err := retry.OnError(retry.DefaultRetry, raced, func() (err error) {
		list, err = ensure(ctx, c, add)
		return err
	})
	return list, err
}

func ensure(ctx context.Context, c client.Client, add []Tenant) ([]Tenant, error) {
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: names.NamespaceSystem, Name: names.Tenants, Labels: kube.PartOf()}}
	err := c.Get(ctx, client.ObjectKeyFromObject(kept), kept)
	isNew := apierrors.IsNotFound(err)
	if err != nil && !isNew {
		return nil, fmt.Errorf("read the list of tenants: %w", err)
	}
	var list []Tenant
	if isNew {
		list, err = Sample(), onlySample(ctx, c)
	} else {
		list, err = parse([]byte(kept.Data[key]))
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of tenants, ConfigMap %s/%s: %w", kept.Namespace, kept.Name, err)
	}
	for _, t := range add {
		if list, err = Add(list, t); err != nil {
			return nil, ui.Usage(err)
		}
		if err := free(ctx, c, t.Name); err != nil {
			return nil, err
		}
	}
	data, err := yaml.Marshal(list)
	if err != nil {
		return nil, err
	}
	if kept.Data[key] == string(data) {
		return list, nil
	}
	kept.Data = map[string]string{key: string(data)}
	if isNew {
		err = c.Create(ctx, kept)
	} else {
		err = c.Update(ctx, kept)
	}
	if err != nil {
		return nil, fmt.Errorf("keep the list of tenants: %w", err)
	}
	return list, nil
}

// parse reads a list, and refuses one that nobody could have kept here.
func parse(data []byte) ([]Tenant, error) {
	var kept, list []Tenant
	if err := yaml.UnmarshalStrict(data, &kept); err != nil {
		return nil, err
	}
	if len(kept) == 0 {
		return nil, errors.New("it names nobody")
	}
	for _, t := range kept {
		var err error
		if list, err = Add(list, t); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// onlySample refuses to begin anew where there are other tenants: Flux would take away what isn't in the list.
func onlySample(ctx context.Context, c client.Reader) error {
	all := &corev1.NamespaceList{}
	if err := c.List(ctx, all, client.MatchingLabels{names.LabelTenant: "true", kustomizeLabel: part.Tenants}); err != nil {
		return err
	}
	for _, ns := range all.Items {
		if ns.Name != names.SampleTenant {
			return ui.WithHint(fmt.Errorf("it is gone, and there is a tenant %s", ns.Name),
				"write it again: under "+key+" a list of name and services, in YAML")
		}
	}
	return nil
}

// List gives the platform's tenants, and changes nothing.
func List(ctx context.Context, c client.Reader) ([]Tenant, error) {
	kept := &corev1.ConfigMap{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: names.NamespaceSystem, Name: names.Tenants}, kept); err != nil {
		return nil, fmt.Errorf("read the list of tenants: %w", err)
	}
	return parse([]byte(kept.Data[key]))
}

// kustomizeLabel is what Flux labels all that it applies with: the name of what applies it.
var kustomizeLabel = kustomizev1.GroupVersion.Group + "/name"

// free refuses a namespace that is there and isn't a tenant's: it is somebody else's.
func free(ctx context.Context, c client.Reader, name string) error {
	ns := &corev1.Namespace{}
	err := c.Get(ctx, client.ObjectKey{Name: name}, ns)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for namespace %s: %w", name, err)
	}
	if ns.Labels[names.LabelTenant] == "true" && ns.Labels[kustomizeLabel] == part.Tenants {
		return nil
	}
	return ui.Usage(ui.WithHint(fmt.Errorf("there is a namespace %s already, and it isn't a tenant's", name), "choose another name"))
}
