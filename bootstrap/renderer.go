package bootstrap

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/render"
	"github.com/druppie/druppie-up/bootstrap/supply/own"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/bootstrap/tenant"
)

// renderer renders parts against a store.
type renderer struct {
	inputs
	vars    map[string]string // what ${name} stands for in our files
	tenants []tenant.Tenant
	// certificates are the fingerprints of those that are served, by the name of the secret: who reads a
	// certificate only when it starts must start again when it is renewed.
	certificates map[string]string
}

// Variables of our files.
const (
	varSigningKey = "signing-public-key"
	varNodes      = "nodes" // the network that the nodes stand in, as a range of addresses
)

// part renders a part and pins its images. It also names what the store lacks of
// it: upstream's files, without which there are no objects, or images, which stay
// without a digest.
func (r renderer) part(p part.Part) (objs []*unstructured.Unstructured, missing []string, err error) {
	files, err := p.Files()
	if err != nil {
		return nil, nil, err
	}
	var out []byte
	if p.Chart {
		out, err = render.Chart(files, p.Name, p.Namespace, r.values())
	} else {
		ref := r.sourcesOf(p)
		var upstream fs.FS
		if ref != "" {
			upstream, err = r.store.Files(ref)
			if errors.Is(err, store.ErrNotFound) {
				return nil, []string{ref}, nil
			}
			if err != nil {
				return nil, nil, fmt.Errorf("part %s: %w", p.Name, err)
			}
		}
		out, err = r.kustomize(p, files, upstream)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("part %s: %w", p.Name, err)
	}
	if objs, err = kube.Decode(out); err != nil {
		return nil, nil, fmt.Errorf("part %s: %w", p.Name, err)
	}
	objs = slices.DeleteFunc(objs, func(o *unstructured.Unstructured) bool { return !p.Installs(o.GetKind()) })
	render.DropDescriptions(objs)
	known, err := r.pinnable()
	if err != nil {
		return nil, nil, err
	}
	return objs, render.Pin(objs, known), nil
}

// kustomize builds a part's kustomization, once for each that it is for.
func (r renderer) kustomize(p part.Part, files, upstream fs.FS) ([]byte, error) {
	services, err := tenant.Services(r.tenants)
	if err != nil {
		return nil, err
	}
	vars := maps.Clone(r.vars)
	if vars == nil {
		vars = map[string]string{}
	}
	vars["services"] = services
	if p.Each == "" {
		return render.Kustomize(files, upstream, vars)
	}
	var all [][]byte
	for _, one := range r.each(p.Each) {
		vars[string(p.Each)] = one
		out, err := render.Kustomize(files, upstream, vars)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", p.Each, one, err)
		}
		all = append(all, out)
	}
	return bytes.Join(all, []byte("---\n")), nil
}

func (r renderer) each(what part.Each) []string {
	var out []string
	if what == part.EachTenant {
		for _, t := range r.tenants {
			out = append(out, t.Name)
		}
		return out
	}
	for _, n := range part.Namespaces(part.Network, part.Node, part.Foundation, part.Flux) {
		out = append(out, n.Name)
	}
	return out
}

// sourcesOf names the upstream files that a part builds on: those of the
// component whose folder it is. Empty: none.
func (r renderer) sourcesOf(p part.Part) string {
	for _, c := range r.components {
		if "manifests/"+c.Name == p.Folder {
			return c.SourcesRef()
		}
	}
	return ""
}

// values are what a chart must know of the platform that it is rendered for.
func (r renderer) values() map[string]any {
	certificates := map[string]any{}
	for name, fingerprint := range r.certificates {
		certificates[name] = fingerprint
	}
	values := map[string]any{"name": r.opts.Name, "port": r.opts.Port, "certificates": certificates}
	if nodes, known := r.vars[varNodes]; known {
		values[varNodes] = nodes
	}
	return values
}

// key stands for all that parts are rendered from: this program, the variables, the
// tenants and the digests in the store.
func (r renderer) key() (string, error) {
	program, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	defer program.Close()
	h := sha256.New()
	if _, err := io.Copy(h, program); err != nil {
		return "", fmt.Errorf("read this program: %w", err)
	}
	entries, err := r.store.Entries()
	if err != nil {
		return "", err
	}
	var refs []string
	for _, e := range entries {
		refs = append(refs, e.Pinned())
	}
	if err := json.NewEncoder(h).Encode([]any{r.values(), r.vars, r.tenants, refs}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// pinnable are all images that we know, with the digests of those in the store.
func (r renderer) pinnable() ([]render.Image, error) {
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
