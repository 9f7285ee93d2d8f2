// Package own makes the images of our own programs, which no registry has, out of the static binaries that lie
// beside the installer. It refuses to build the binaries.
package own

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/druppie/druppie-up/bootstrap/supply/layer"
	"github.com/druppie/druppie-up/bootstrap/supply/sbom"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// fileAnnotation notes the size and time of the program's file, so that one that
// hasn't changed needn't be read.
const fileAnnotation = "io.druppie.file"

// format changes when Pack makes another image of the same binary.
const format = "1"

// uid is the user that our images run as.
const uid = 65532

// program is one of ours.
type program struct {
	name, title string
	root        bool // runs as root
}

func programs() []program {
	return []program{
		{name: "mirror", title: "Serves the store of images to the nodes"},
		{name: "foundry", title: "The pipelines' step tool"},
		{name: "tracedb", title: "The Traceability DB"},
		{name: "podnet", title: "The pods' network and its policies", root: true}, // writes routes, rules and the nodes' CNI configuration
		{name: "canary", title: "Shows whether network policies are enforced"},
	}
}

// Refs names the images of our own programs.
func Refs() []string {
	var refs []string
	for _, p := range programs() {
		refs = append(refs, names.OwnImage(p.name))
	}
	return refs
}

// Pack makes images of our own static binaries in binDir and puts them into the store, where they aren't there
// yet.
func Pack(s *store.Store, binDir string) error {
	for _, p := range programs() {
		if err := p.pack(s, filepath.Join(binDir, p.name)); err != nil {
			return fmt.Errorf("pack %s: %w", names.OwnImage(p.name), err)
		}
	}
	return nil
}

func (p program) pack(s *store.Store, file string) error {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return ui.WithHint(fmt.Errorf("%s is not there", file),
			"build everything with `make build`: the programs of the platform's own images lie beside druppie-up")
	}
	if err != nil {
		return err
	}
	ref := names.OwnImage(p.name)
	e, err := s.Entry(ref)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	made := format + " " + runtime.GOARCH + " "
	unread := fmt.Sprint(info.Size(), info.ModTime().UnixNano())
	if strings.HasPrefix(e.Annotations[store.Input], made) && e.Annotations[fileAnnotation] == unread {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	ann := map[string]string{store.Input: made + hex.EncodeToString(sum[:]), fileAnnotation: unread}
	if e.Annotations[store.Input] == ann[store.Input] {
		return s.Annotate(ref, ann)
	}
	program, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("it is no Go program: %w", err)
	}
	_, linked := sbom.Modules(program)
	var components []cdx.Component
	for _, m := range linked {
		components = append(components, m.Component())
	}
	list, err := sbom.Image(cdx.Component{Name: names.OwnHost + "/" + p.name, Version: "dev"}, components)
	if err != nil {
		return err
	}
	img, err := p.image(data)
	if err != nil {
		return err
	}
	// The SBOM first: an image that is there has one.
	if _, err := s.PutImage(sbom.Ref(ref), list, ann); err != nil {
		return err
	}
	_, err = s.PutImage(ref, img, ann)
	return err
}

// image is one layer: the program, and the little that programs expect of a root file system.
func (p program) image(data []byte) (v1.Image, error) {
	l, err := layer.Plain([]layer.Entry{
		{Path: "etc", Dir: true, Mode: 0o755},
		{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{Path: "etc/nsswitch.conf", Mode: 0o644, Data: []byte("hosts: files dns\n")},
		{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")},
		{Path: "etc/ssl", Dir: true, Mode: 0o755},
		{Path: "etc/ssl/certs", Dir: true, Mode: 0o755},
		{Path: p.name, Mode: 0o755, Data: data},
		{Path: "home", Dir: true, Mode: 0o755},
		{Path: "home/nonroot", Dir: true, Mode: 0o700, UID: uid, GID: uid},
		{Path: "tmp", Dir: true, Mode: 0o1777},
	})
	if err != nil {
		return nil, err
	}
	img, err := layer.Image(l)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Created = v1.Time{Time: layer.Epoch}
	config.History = []v1.History{{Created: v1.Time{Time: layer.Epoch}, CreatedBy: "druppie-up"}}
	user, home := fmt.Sprintf("%d:%d", uid, uid), "/home/nonroot"
	if p.root {
		user, home = "0:0", "/"
	}
	config.Config = v1.Config{
		User:       user,
		Entrypoint: []string{"/" + p.name},
		WorkingDir: home,
		Env:        []string{"PATH=/", "HOME=" + home, "SSL_CERT_DIR=/etc/ssl/certs"},
		Labels: map[string]string{
			"org.opencontainers.image.title":       p.name,
			"org.opencontainers.image.description": p.title,
			"org.opencontainers.image.source":      "https://github.com/druppie/druppie-up",
			"org.opencontainers.image.version":     "dev",
			"org.opencontainers.image.licenses":    "EUPL-1.2",
		},
	}
	return mutate.ConfigFile(img, config)
}
