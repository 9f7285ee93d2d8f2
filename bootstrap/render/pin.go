package render

import (
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Image is how a component's image is named in manifests.
type Image struct {
	Name   string // full name:tag, upstream's own
	Ko     string // import path, where upstream's manifests say ko://<path>
	Digest string // what the store holds; empty leaves the tag alone
}

// ref is what manifests say after pinning: name:tag@digest.
func (i Image) ref() string {
	if i.Digest == "" {
		return i.Name
	}
	return i.Name + "@" + i.Digest
}

// Pin replaces, in every string of every object (image fields, and arguments
// that name images), ko:// references and names of known images by
// name:tag@digest. It returns the names that it met and that have no digest.
func Pin(objs []*unstructured.Unstructured, images []Image) (unpinned []string) {
	p := newPinner(images)
	for _, o := range objs {
		p.value(o.Object)
	}
	for name := range p.unpinned {
		unpinned = append(unpinned, name)
	}
	sort.Strings(unpinned)
	return unpinned
}

type pinner struct {
	tokens   map[string]Image // what may stand in a manifest -> the image meant
	unpinned map[string]bool
}

func newPinner(images []Image) *pinner {
	p := &pinner{tokens: map[string]Image{}, unpinned: map[string]bool{}}
	for _, img := range images {
		p.tokens[img.Name] = img
		// Docker Hub's names are also written without their host.
		if short, ok := strings.CutPrefix(img.Name, "docker.io/"); ok {
			p.tokens[short] = img
			if official, ok := strings.CutPrefix(short, "library/"); ok {
				p.tokens[official] = img
			}
		}
		if img.Ko != "" {
			p.tokens["ko://"+img.Ko] = img
		}
	}
	return p
}

func (p *pinner) value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = p.value(v[k])
		}
	case []any:
		for i := range v {
			v[i] = p.value(v[i])
		}
	case string:
		return p.text(v)
	}
	return v
}

// text replaces a whole string, or what follows the last "=" of an argument
// such as --image=NAME.
func (p *pinner) text(s string) string {
	token, prefix := s, ""
	if i := strings.LastIndex(s, "="); i >= 0 && strings.HasPrefix(s, "-") {
		prefix, token = s[:i+1], s[i+1:]
	}
	img, ok := p.tokens[token]
	if !ok {
		return s
	}
	if img.Digest == "" {
		p.unpinned[img.Name] = true
	}
	return prefix + img.ref()
}
