package modules

import (
	"debug/buildinfo"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/druppie/druppie-up/bootstrap/supply/sbom"
)

// sbom lists the modules linked into the image's programs and the packages
// below them, as an artifact.
func (a *assembly) sbom() (v1.Image, error) {
	repo, tag, _ := strings.Cut(filepath.Base(a.img.Name), ":")
	image := cdx.Component{Name: strings.TrimSuffix(a.img.Name, ":"+tag), Version: tag, PackageURL: "pkg:oci/" + repo + "?tag=" + tag}
	users := map[sbom.Module][]string{}
	for _, file := range a.binaries {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			continue // not a Go program: the few C helpers carry no list
		}
		main, linked := sbom.Modules(info)
		if main.Path != "" {
			linked = append(linked, main)
		}
		for _, m := range linked {
			m.Version = a.b.pinned(m)
			if m.Version == "" {
				continue // our own few lines around a library
			}
			users[m] = append(users[m], filepath.Base(file))
		}
	}
	var components []cdx.Component
	for m, by := range users {
		c := m.Component()
		slices.Sort(by)
		var properties []cdx.Property
		for _, name := range slices.Compact(by) {
			properties = append(properties, cdx.Property{Name: "io.druppie.binary", Value: name})
		}
		c.Properties = &properties
		components = append(components, c)
	}
	if a.root != nil {
		for _, d := range a.debs() {
			c := cdx.Component{Type: cdx.ComponentTypeLibrary, Name: d.Name, Version: d.Version,
				PackageURL: fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", d.Name, d.Version, d.Architecture, suite)}
			if d.SHA256 != "" {
				c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: d.SHA256}}
			}
			components = append(components, c)
		}
	}
	return sbom.Image(image, components)
}

// pinned is a module's version; what was built from a folder doesn't know its
// own, the component it came from does.
func (b *Builder) pinned(m sbom.Module) string {
	if m.Version != "" && m.Version != "(devel)" {
		return m.Version
	}
	for _, c := range b.comps {
		for _, s := range c.Sources {
			if s.Module == m.Path {
				return s.Version
			}
		}
	}
	return ""
}
