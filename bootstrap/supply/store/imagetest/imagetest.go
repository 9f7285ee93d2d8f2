// Package imagetest makes images for the tests of the store and of what fills it. It refuses to know the store.
package imagetest

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Random is an image of two small layers that no other image has.
func Random(t testing.TB) v1.Image {
	t.Helper()
	img, err := random.Image(2048, 2)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Digest is the digest of an image's manifest.
func Digest(t testing.TB, img v1.Image) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// LayerDigests are those of an image's layers, the lowest first.
func LayerDigests(t testing.TB, img v1.Image) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d.String())
	}
	return list
}

// Index is upstream's kind of index: img for this machine, and one for a
// machine whose image isn't there.
func Index(t testing.TB, img v1.Image) []byte {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	size, err := img.Size()
	if err != nil {
		t.Fatal(err)
	}
	other := v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Size: 7,
		Digest:   v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)},
		Platform: &v1.Platform{OS: "linux", Architecture: "s390x"},
	}
	raw, err := json.MarshalIndent(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: []v1.Descriptor{other, {
			MediaType: types.DockerManifestSchema2, Size: size, Digest: d,
			Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
		}},
	}, "", "     ")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
