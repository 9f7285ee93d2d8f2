package bootstrap

import (
	"fmt"
	"io/fs"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/gitops"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/render"
	"github.com/druppie/druppie-up/bootstrap/supply/own"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/charts"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/manifests"
	"github.com/druppie/druppie-up/pipelines"
	"github.com/druppie/druppie-up/policies"
)

// unit is a folder of Kubernetes objects that is rendered as one whole.
type unit struct {
	name      string
	files     fs.FS  // with a kustomization.yaml at its root, or a Chart.yaml
	namespace string // where a chart goes; empty: it is a kustomization
	component string // whose upstream files a kustomization builds on; empty: none
}

// nodeUnits are what a node image of our own lacks and upstream's has.
var nodeUnits = []string{"podnet", "local-path"}

// platformUnits are what Flux installs from the platform repository. The order
// in which they become ready is gitops' matter (dependsOn).
var platformUnits = []string{
	"tekton-pipelines", "tekton-triggers", "kyverno", "tracedb", "pipelines", "policies", "tenant-drones",
}

// findUnit returns the unit of that name.
func findUnit(name string) (unit, error) {
	switch name {
	case "pipelines":
		return unit{name: name, files: pipelines.FS}, nil
	case "policies":
		return unit{name: name, files: policies.FS}, nil
	case "tracedb":
		return chartUnit(name, names.NamespaceSystem)
	}
	return manifestUnit(name)
}

// chartUnit is the unit in charts/<name>.
func chartUnit(name, namespace string) (unit, error) {
	sub, err := fs.Sub(charts.FS, name)
	if err != nil {
		return unit{}, fmt.Errorf("charts/%s: %w", name, err)
	}
	return unit{name: name, files: sub, namespace: namespace}, nil
}

// manifestUnit is the unit in manifests/<name>; it has upstream files if it has
// a component.yaml.
func manifestUnit(name string) (unit, error) {
	sub, err := fs.Sub(manifests.FS, name)
	if err != nil {
		return unit{}, fmt.Errorf("manifests/%s: %w", name, err)
	}
	u := unit{name: name, files: sub}
	if _, err := fs.Stat(sub, "component.yaml"); err == nil {
		u.component = name
	}
	return u, nil
}

// renderer renders units against a store.
type renderer struct {
	store      *store.Store
	components []component.Component
	vars       map[string]string // what ${name} stands for in our files
	values     map[string]any    // what all charts are told of this platform

	unpinned map[string]bool // images that were met and that the store lacks
}

// repository is what the platform repository holds: a folder for each unit, and
// Flux's own entry point.
func (r *renderer) repository() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range platformUnits {
		objs, err := r.units([]string{name})
		if err != nil {
			return nil, err
		}
		if files[name+"/all.yaml"], err = encode(objs); err != nil {
			return nil, err
		}
	}
	entry, err := gitops.FluxTree(platformUnits)
	if err != nil {
		return nil, err
	}
	maps.Copy(files, entry)
	return files, nil
}

// units renders the units of these names, one after the other.
func (r *renderer) units(names []string) ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	for _, name := range names {
		u, err := findUnit(name)
		if err != nil {
			return nil, err
		}
		more, err := r.objects(u)
		if err != nil {
			return nil, err
		}
		objs = append(objs, more...)
	}
	return objs, nil
}

// objects renders a unit and pins its images.
func (r *renderer) objects(u unit) ([]*unstructured.Unstructured, error) {
	if u.namespace != "" {
		out, err := render.Chart(u.files, u.name, u.namespace, r.values)
		if err != nil {
			return nil, err
		}
		return r.pinned(u.name, out)
	}
	upstream, err := r.upstream(u.component)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.name, err)
	}
	out, err := render.Kustomize(u.files, upstream, r.vars)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u.name, err)
	}
	return r.pinned(u.name, out)
}

// upstream returns the component's source files, or nil where it has none.
func (r *renderer) upstream(name string) (fs.FS, error) {
	if name == "" {
		return nil, nil
	}
	for _, c := range r.components {
		if c.Name != name {
			continue
		}
		if c.SourcesRef() == "" {
			return nil, nil
		}
		return r.store.Files(c.SourcesRef())
	}
	return nil, fmt.Errorf("no component is named %s", name)
}

func (r *renderer) pinned(name string, out []byte) ([]*unstructured.Unstructured, error) {
	objs, err := kube.Decode(out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	images, err := r.images()
	if err != nil {
		return nil, err
	}
	for _, missing := range render.Pin(objs, images) {
		r.unpinned[missing] = true
	}
	return objs, nil
}

// siteValues are what a chart must know of the platform that it is rendered for.
func siteValues(o Options) map[string]any {
	return map[string]any{"name": o.Name, "port": o.Port}
}

// images are all images that we know, with the digests of those in the store.
func (r *renderer) images() ([]render.Image, error) {
	entries, err := r.store.Entries()
	if err != nil {
		return nil, err
	}
	digests := map[string]string{}
	for _, e := range entries {
		digests[e.Ref] = e.Descriptor.Digest.String()
	}
	var images []render.Image
	for _, c := range r.components {
		for _, img := range c.Images {
			images = append(images, render.Image{Name: img.Name, Ko: img.Ko, Digest: digests[img.Name]})
		}
	}
	for _, name := range own.Refs() {
		images = append(images, render.Image{Name: name, Digest: digests[name]})
	}
	return images, nil
}

// encode writes objects as one YAML stream.
func encode(objs []*unstructured.Unstructured) ([]byte, error) {
	var out []byte
	for _, o := range objs {
		doc, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("encode %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		out = append(append(out, "---\n"...), doc...)
	}
	return out, nil
}
