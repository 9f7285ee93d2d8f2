package modules

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// cyclonedx is the media type of a parts list.
const cyclonedx = "application/vnd.cyclonedx+json"

// bom is the part of CycloneDX that we write.
type bom struct {
	BOMFormat   string  `json:"bomFormat"`
	SpecVersion string  `json:"specVersion"`
	Version     int     `json:"version"`
	Metadata    bomMeta `json:"metadata"`
	Components  []part  `json:"components"`
}

type bomMeta struct {
	Component part `json:"component"`
}

type part struct {
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []partHash `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type partHash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// sbom lists the modules linked into the image's programs and the packages
// below them, as an artifact.
func (a *assembly) sbom() (v1.Image, error) {
	raw, err := a.parts()
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.AppendLayers(img, static.NewLayer(raw, cyclonedx))
}

func (a *assembly) parts() ([]byte, error) {
	repo, tag, _ := strings.Cut(filepath.Base(a.img.Name), ":")
	doc := bom{BOMFormat: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata:   bomMeta{part{Type: "container", Name: strings.TrimSuffix(a.img.Name, ":"+tag), Version: tag, PURL: "pkg:oci/" + repo + "?tag=" + tag}},
		Components: []part{}}
	users := map[goModule][]string{}
	for _, file := range a.binaries {
		mods, err := linked(file)
		if err != nil {
			return nil, err
		}
		for _, m := range mods {
			m.version = a.b.pinned(m)
			if m.version == "" {
				continue // our own few lines around a library
			}
			users[m] = append(users[m], filepath.Base(file))
		}
	}
	for m, by := range users {
		slices.Sort(by)
		p := part{Type: "library", Name: m.path, Version: m.version, PURL: "pkg:golang/" + m.path + "@" + m.version}
		for _, name := range slices.Compact(by) {
			p.Properties = append(p.Properties, property{"io.druppie.binary", name})
		}
		doc.Components = append(doc.Components, p)
	}
	if a.root != nil {
		for _, d := range a.debs() {
			p := part{Type: "library", Name: d.Name, Version: d.Version,
				PURL: fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", d.Name, d.Version, d.Architecture, suite)}
			if d.SHA256 != "" {
				p.Hashes = []partHash{{"SHA-256", d.SHA256}}
			}
			doc.Components = append(doc.Components, p)
		}
	}
	slices.SortFunc(doc.Components, func(a, b part) int { return strings.Compare(a.PURL, b.PURL) })
	return json.MarshalIndent(doc, "", " ")
}

// goModule is one module linked into a program.
type goModule struct{ path, version string }

func linked(file string) ([]goModule, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := buildinfo.Read(f)
	if err != nil {
		return nil, nil // not a Go program: the few C helpers carry no list
	}
	mods := []goModule{{"std", strings.TrimPrefix(info.GoVersion, "go")}}
	if info.Main.Path != "" {
		mods = append(mods, goModule{info.Main.Path, info.Main.Version})
	}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		mods = append(mods, goModule{d.Path, d.Version})
	}
	return mods, nil
}

// pinned is a module's version; what was built from a folder doesn't know its
// own, the component it came from does.
func (b *Builder) pinned(m goModule) string {
	if m.version != "" && m.version != "(devel)" {
		return m.version
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.comps {
		for _, s := range c.Sources {
			if s.Module == m.path {
				return s.Version
			}
		}
	}
	return ""
}
