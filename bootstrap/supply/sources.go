package supply

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/internal/ui"
)

// inputAnnotation notes what an entry was made from, so that making it again
// can be left out.
const inputAnnotation = "io.druppie.input"

// sourcesFormat changes when the same sources are packed in another way.
const sourcesFormat = "2"

// epoch is the time in everything packed here: bytes must not depend on when.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// PackSources puts a component's upstream files into the store, unless they are
// there. They come out of Go modules that the checksum database vouches for, in
// every supply: no registry has them. Paths begin with the module's path.
func PackSources(ctx context.Context, s *Store, c component.Component) error {
	ref := c.SourcesRef()
	if ref == "" {
		return nil
	}
	var sources []component.Source
	for _, src := range c.Sources {
		if len(src.Files) > 0 {
			sources = append(sources, src)
		}
	}
	switch _, err := s.Entry(ref); {
	case err == nil && s.madeFrom(ref, sourcesKey(sources)):
		return nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return err
	}
	files := map[string][]byte{}
	for _, src := range sources {
		zipFile, err := downloadModule(ctx, filepath.Join(filepath.Dir(s.Dir()), "build", "mod"), src.Module, src.Version)
		if err != nil {
			return fmt.Errorf("upstream files of %s: %w", c.Name, err)
		}
		if err := moduleFiles(zipFile, src, src.Module, files); err != nil {
			return fmt.Errorf("upstream files of %s: %w", c.Name, err)
		}
	}
	img, err := artifact(files)
	if err != nil {
		return fmt.Errorf("upstream files of %s: %w", c.Name, err)
	}
	_, err = s.PutImage(ref, img, map[string]string{inputAnnotation: sourcesKey(sources)})
	return err
}

// madeFrom says whether ref was made from the inputs that key stands for. An
// entry without the note is another supply's, which knows its own freshness.
func (s *Store) madeFrom(ref, key string) bool {
	e, err := s.Entry(ref)
	if err != nil {
		return false
	}
	noted := e.Annotations[inputAnnotation]
	return noted == "" || noted == key
}

func sourcesKey(sources []component.Source) string {
	h := sha256.New()
	fmt.Fprintln(h, sourcesFormat)
	for _, src := range sources {
		fmt.Fprintf(h, "%s@%s %q\n", src.Module, src.Version, src.Files)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// downloadModule has the go command fetch a module and check it against the
// checksum database, and returns the module's archive.
func downloadModule(ctx context.Context, cache, mod, version string) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", mod+"@"+version)
	cmd.Dir = cache // away from any go.mod, so that none has a say
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{"GOFLAGS", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GOINSECURE", "GOWORK", "GO111MODULE"}, name)
	})
	cmd.Env = append(cmd.Env, "GOMODCACHE="+cache, "GOFLAGS=-modcacherw", "GOWORK=off", "GO111MODULE=on")
	if strings.HasPrefix(os.Getenv("GOSUMDB"), "off") {
		return "", ui.WithHint(errors.New("the checksum database is switched off, so modules can't be verified"), "unset GOSUMDB")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var got struct{ Zip, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr == nil && got.Error != "" {
		return "", fmt.Errorf("%s@%s: %s", mod, version, got.Error)
	}
	if err != nil {
		return "", fmt.Errorf("%s@%s: go mod download: %w: %s", mod, version, err, bytes.TrimSpace(stderr.Bytes()))
	}
	if got.Zip == "" {
		return "", fmt.Errorf("%s@%s: go mod download names no archive", mod, version)
	}
	return got.Zip, nil
}

// moduleFiles reads the wanted files, or all files of wanted folders, from a
// module's archive. One that isn't there is an error.
func moduleFiles(zipFile string, src component.Source, prefix string, files map[string][]byte) error {
	z, err := zip.OpenReader(zipFile)
	if err != nil {
		return err
	}
	defer z.Close()
	root := src.Module + "@" + src.Version + "/"
	found := map[string]bool{}
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, root)
		if !ok || strings.HasSuffix(name, "/") {
			continue
		}
		i := slices.IndexFunc(src.Files, func(want string) bool {
			want = path.Clean(want)
			return want == "." || name == want || strings.HasPrefix(name, want+"/")
		})
		if i < 0 {
			continue
		}
		found[src.Files[i]] = true
		r, err := f.Open()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return err
		}
		files[path.Join(prefix, name)] = data
	}
	for _, want := range src.Files {
		if !found[want] {
			return fmt.Errorf("%s@%s has nothing at %s", src.Module, src.Version, want)
		}
	}
	return nil
}

// artifact makes an image of one layer that holds files.
func artifact(files map[string][]byte) (v1.Image, error) {
	var entries []tarEntry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, tarEntry{name: name, mode: 0o644, data: files[name]})
	}
	layer, err := tarLayer(entries)
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(baseImage(), layer)
}

// baseImage is an image of OCI's own media types, with nothing in it.
func baseImage() v1.Image {
	return mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
}

type tarEntry struct {
	name     string
	dir      bool
	mode     int64
	uid, gid int
	data     []byte
}

// tarLayer writes a layer, uncompressed: it travels over this machine's own
// bridge, and compressing costs more than it saves there.
func tarLayer(entries []tarEntry) (v1.Layer, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Uid: e.uid, Gid: e.gid,
			Size: int64(len(e.data)), ModTime: epoch, Format: tar.FormatPAX,
		}
		if e.dir {
			h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return static.NewLayer(buf.Bytes(), types.OCIUncompressedLayer), nil
}
