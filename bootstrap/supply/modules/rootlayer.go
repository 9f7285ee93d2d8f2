package modules

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/layer"
)

// alwaysExcluded are paths of a root file system that no image has: what belongs to
// the machine that built it, what changes from run to run, and what a
// container has no use for.
var alwaysExcluded = []string{
	"dev/*", "proc/*", "sys/*", "run/*", "tmp/*", "boot/*",
	"etc/hostname", "etc/resolv.conf", "etc/machine-id",
	"etc/apt/sources.list", "etc/apt/sources.list.d/*", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
	"var/cache/*/*", "var/log/*", "var/lib/apt/lists/*", "var/lib/dpkg/*-old", "var/lib/dpkg/lock*",
	"var/lib/systemd/catalog/database",
	"usr/share/man/*", "usr/share/info/*", "usr/share/locale/*/*", "usr/share/lintian/*",
}

// excluded says whether an image lacks a path of its root file system.
func excluded(p string, d component.Debian) bool {
	if strings.HasPrefix(p, "usr/share/doc/") && path.Base(p) != "copyright" && strings.Count(p, "/") > 3 {
		return true
	}
	matched := func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, p) })
	}
	return matched(alwaysExcluded) || matched(d.Remove) || len(d.Keep) > 0 && !matched(d.Keep)
}

// matches says whether pattern fits p or a folder above it.
func matches(pattern, p string) bool {
	n := strings.Count(pattern, "/")
	parts := strings.Split(p, "/")
	if len(parts) <= n {
		return false
	}
	ok, err := path.Match(pattern, strings.Join(parts[:n+1], "/"))
	return err == nil && ok
}

// rootLayer turns a root file system into a layer, without what d leaves out.
// It returns the paths that are in it: true for files, false for folders.
func rootLayer(dir string, r *rootfs, d component.Debian) (v1.Layer, map[string]bool, error) {
	w, err := layer.NewWriter(dir)
	if err != nil {
		return nil, nil, err
	}
	have := map[string]bool{}
	err = eachInTar(r.tar, func(h *tar.Header, body io.Reader) error {
		if h.Name == "." || excluded(h.Name, d) {
			return nil
		}
		// Folders above something kept stand there even if no pattern names them.
		if len(d.Keep) > 0 {
			for _, p := range parents(h.Name) {
				if _, ok := have[p]; ok {
					continue
				}
				have[p] = false
				if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: p + "/", Mode: 0o755, ModTime: layer.Epoch, Format: tar.FormatPAX}); err != nil {
					return err
				}
			}
		}
		have[h.Name] = h.Typeflag != tar.TypeDir
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		// The names of users are this machine's, the numbers are the image's.
		h.Uname, h.Gname, h.Format = "", "", tar.FormatPAX
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, body)
		return err
	})
	if err != nil {
		w.Abort()
		return nil, nil, err
	}
	l, err := w.Layer()
	return l, have, err
}

func parents(p string) []string {
	var up []string
	for i, r := range p {
		if r == '/' {
			up = append(up, p[:i])
		}
	}
	return up
}

// eachInTar walks a tar with names made clean and relative.
func eachInTar(file string, f func(*tar.Header, io.Reader) error) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		h.Name = path.Clean(h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = path.Clean(h.Linkname)
		}
		if err := f(h, tr); err != nil {
			return err
		}
	}
}

// errFound ends a walk early.
var errFound = errors.New("found")

func readFromTar(file, name string) ([]byte, error) {
	var data []byte
	err := eachInTar(file, func(h *tar.Header, body io.Reader) error {
		if h.Name != name || h.Typeflag != tar.TypeReg {
			return nil
		}
		var err error
		if data, err = io.ReadAll(body); err != nil {
			return err
		}
		return errFound
	})
	if err == nil {
		return nil, fmt.Errorf("%s is not in %s", name, file)
	}
	if !errors.Is(err, errFound) {
		return nil, err
	}
	return data, nil
}
