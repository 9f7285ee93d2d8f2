package supply

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// packFormat changes when Pack makes another image of the same binary.
const packFormat = "1"

// partsType is the media type of a list of parts.
const partsType = "application/vnd.cyclonedx+json"

// nonroot is the user that our images run as, and root the exception.
const (
	nonroot = "65532:65532"
	root    = "0:0"
)

// own are the images of our own programs.
var own = []struct{ program, user, title string }{
	{"mirror", nonroot, "Serves the store of images to the nodes"},
	{"foundry", nonroot, "The pipelines' step tool"},
	{"tracedb", nonroot, "The Traceability DB"},
	{"podnet", root, "Routes between the nodes' pods"}, // it writes routes and the nodes' CNI configuration
}

// OwnRefs names the images of our own programs.
func OwnRefs() []string {
	refs := make([]string, len(own))
	for i, o := range own {
		refs[i] = names.OwnImage(o.program)
	}
	return refs
}

// Pack makes images of our own static binaries in binDir and puts them into the
// store, where they aren't there yet: no registry has them, so every supply
// wants this first.
func Pack(s *Store, binDir string) error {
	for _, o := range own {
		file := filepath.Join(binDir, o.program)
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			return ui.WithHint(fmt.Errorf("pack %s: %s is not there", names.OwnImage(o.program), file),
				"build everything with `make build`: the programs of the platform's own images lie beside druppie-up")
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", names.OwnImage(o.program), err)
		}
		sum := sha256.Sum256(data)
		key := packFormat + " " + runtime.GOARCH + " " + hex.EncodeToString(sum[:])
		if e, err := s.Entry(names.OwnImage(o.program)); err == nil && e.Annotations[inputAnnotation] == key {
			continue
		}
		img, err := ownImage(o.program, o.user, o.title, data)
		if err != nil {
			return fmt.Errorf("pack %s: %w", names.OwnImage(o.program), err)
		}
		parts, err := partsList(o.program, data)
		if err != nil {
			return fmt.Errorf("pack %s: %w", names.OwnImage(o.program), err)
		}
		// The parts list first: an image that is there has one.
		for _, put := range []struct {
			ref string
			img v1.Image
		}{{names.OwnImage(o.program) + ".sbom", parts}, {names.OwnImage(o.program), img}} {
			if _, err := s.PutImage(put.ref, put.img, map[string]string{inputAnnotation: key}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownImage is one layer: the program, and the little that programs expect of a
// root file system.
func ownImage(program, user, title string, data []byte) (v1.Image, error) {
	const uid = 65532
	layer, err := tarLayer([]tarEntry{
		{name: "etc", dir: true, mode: 0o755},
		{name: "etc/group", mode: 0o644, data: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{name: "etc/nsswitch.conf", mode: 0o644, data: []byte("hosts: files dns\n")},
		{name: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		{name: "etc/ssl", dir: true, mode: 0o755},
		{name: "etc/ssl/certs", dir: true, mode: 0o755},
		{name: program, mode: 0o755, data: data},
		{name: "home", dir: true, mode: 0o755},
		{name: "home/nonroot", dir: true, mode: 0o700, uid: uid, gid: uid},
		{name: "tmp", dir: true, mode: 0o1777},
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(baseImage(), layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: epoch}
	config.History = []v1.History{{Created: v1.Time{Time: epoch}, CreatedBy: "druppie-up"}}
	home := "/"
	if user == nonroot {
		home = "/home/nonroot"
	}
	config.Config = v1.Config{
		User:       user,
		Entrypoint: []string{"/" + program},
		WorkingDir: home,
		Env:        []string{"PATH=/", "HOME=" + home, "SSL_CERT_DIR=/etc/ssl/certs"},
		Labels: map[string]string{
			"org.opencontainers.image.title":       program,
			"org.opencontainers.image.description": title,
			"org.opencontainers.image.source":      "https://github.com/druppie/druppie-up",
			"org.opencontainers.image.version":     "dev",
			"org.opencontainers.image.licenses":    "EUPL-1.2",
		},
	}
	return mutate.ConfigFile(img, config)
}

// part is one line of a list of parts.
type part struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"`
}

// partsList is an artifact that lists the modules linked into a program, as the
// linker wrote them into it.
func partsList(program string, data []byte) (v1.Image, error) {
	list := struct {
		BOMFormat   string          `json:"bomFormat"`
		SpecVersion string          `json:"specVersion"`
		Version     int             `json:"version"`
		Metadata    map[string]part `json:"metadata"`
		Components  []part          `json:"components"`
	}{"CycloneDX", "1.5", 1, map[string]part{"component": {Type: "container", Name: names.OwnHost + "/" + program, Version: "dev"}}, []part{}}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it is no Go program: %w", err)
	}
	add := func(name, version string) {
		list.Components = append(list.Components, part{"library", name, version, "pkg:golang/" + name + "@" + version})
	}
	add("std", strings.TrimPrefix(info.GoVersion, "go"))
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		add(d.Path, d.Version)
	}
	raw, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(baseImage(), static.NewLayer(raw, partsType))
}
