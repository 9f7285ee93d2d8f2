// Package sbom lists what an image is made of, as CycloneDX documents that the store keeps beside the images. It
// knows the modules that the linker wrote into a Go program; it refuses to guess at anything else.
package sbom

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/druppie/druppie-up/bootstrap/supply/layer"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// mediaType is that of a CycloneDX document in JSON.
const mediaType = "application/vnd.cyclonedx+json"

// Ref names the SBOM of an image in the store.
func Ref(image string) string { return image + ".sbom" }

// Module is one Go module linked into a program.
type Module struct{ Path, Version string }

// Component is the module in a document.
func (m Module) Component() cdx.Component {
	return cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: "pkg:golang/" + m.Path + "@" + m.Version}
}

// Modules are the modules linked into a program, the standard library first and what replaced another under its
// own name. The main module, whose version is mostly unknown, is apart.
func Modules(info *buildinfo.BuildInfo) (main Module, linked []Module) {
	linked = []Module{{"std", strings.TrimPrefix(info.GoVersion, "go")}}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		linked = append(linked, Module{d.Path, d.Version})
	}
	return Module{info.Main.Path, info.Main.Version}, linked
}

// Image is the artifact for the store: the document that says of an image, by name and tag, what it is made of.
func Image(image cdx.Component, components []cdx.Component) (v1.Image, error) {
	slices.SortStableFunc(components, func(a, b cdx.Component) int { return strings.Compare(a.PackageURL, b.PackageURL) })
	image.Type = cdx.ComponentTypeContainer
	doc := cdx.NewBOM()
	doc.Metadata = &cdx.Metadata{Component: &image}
	doc.Components = &components
	var buf bytes.Buffer
	if err := cdx.NewBOMEncoder(&buf, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(doc, cdx.SpecVersion1_5); err != nil {
		return nil, fmt.Errorf("write SBOM: %w", err)
	}
	return layer.Image(static.NewLayer(buf.Bytes(), mediaType))
}

// Read returns what the store's SBOM of an image lists.
func Read(s *store.Store, image string) ([]cdx.Component, error) {
	img, err := s.Image(Ref(image))
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, fmt.Errorf("%s has %d layers, not one", Ref(image), len(layers))
	}
	r, err := layers[0].Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var doc cdx.BOM
	if err := cdx.NewBOMDecoder(r, cdx.BOMFileFormatJSON).Decode(&doc); err != nil {
		return nil, fmt.Errorf("%s: %w", Ref(image), err)
	}
	if doc.Components == nil {
		return nil, nil
	}
	return *doc.Components, nil
}
