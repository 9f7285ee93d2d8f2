// Package modules owns the supply that needs no container registry: it builds
// every image from pinned Go modules and Debian packages into the store. It
// trusts the checksum database, the distribution's keys and npm's lockfiles.
// It knows no component by name: what is built is data, from package component.
package modules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

// defaultToolchain builds every binary: equal bytes on every machine want one
// compiler. The go command fetches it where another one is installed.
const defaultToolchain = "go1.26.8"

// Name is how this supply is chosen.
const Name = "modules"

// Budgets of the build caches when nothing else is said.
const (
	defaultPeak = 18 << 30
	defaultRest = 5 << 30
)

// Options are the settings of a Builder.
type Options struct {
	// CacheDir holds the build caches (mod, go, src, out, debian).
	CacheDir string
	// Peak is how many bytes the build caches may take between two builds,
	// Rest how many are left when all is done.
	Peak, Rest int64
	// Go is how the go command is called; the pinned toolchain with a module
	// cache in CacheDir is what is left out.
	Go gomod.Go
	// Log receives what the tools write while they run; nil drops it.
	Log io.Writer
}

// Builder builds images, one at a time. It is a supply.Supply.
type Builder struct {
	opt     Options
	comps   map[string]component.Component
	rootfss map[string]*rootfs
}

// New returns a builder; it touches nothing before it is used.
func New(opt Options) *Builder {
	opt.Peak, opt.Rest = cmp.Or(opt.Peak, defaultPeak), cmp.Or(opt.Rest, defaultRest)
	opt.Go.Toolchain = cmp.Or(opt.Go.Toolchain, defaultToolchain)
	opt.Go.ModCache = cmp.Or(opt.Go.ModCache, filepath.Join(opt.CacheDir, modCacheName))
	return &Builder{opt: opt, comps: map[string]component.Component{}, rootfss: map[string]*rootfs{}}
}

// Name is the supply's name.
func (b *Builder) Name() string { return Name }

// Available says whether this machine can build: the tools are there, and the
// module proxy answers.
func (b *Builder) Available(ctx context.Context) error {
	var missing []string // Debian packages
	for _, t := range []struct{ program, packages string }{
		{"gcc", "gcc libc6-dev"},
		{"mmdebstrap", "mmdebstrap"},
		{"npm", "npm"},
	} {
		if _, err := exec.LookPath(t.program); err != nil {
			missing = append(missing, t.packages)
		}
	}
	if len(missing) > 0 {
		return ui.WithHint(
			fmt.Errorf("building from modules needs %s", strings.Join(missing, " ")),
			"apt-get install --no-install-recommends "+strings.Join(missing, " "))
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// A small module that every build needs, so that nothing is fetched in vain.
	if _, err := b.opt.Go.Download(ctx, "golang.org/x/sync", "v0.19.0"); err != nil {
		return ui.WithHint(fmt.Errorf("the Go module proxy doesn't answer: %w", err), "check GOPROXY and the network")
	}
	return nil
}

// Fill builds what the store lacks, in the order of comps. An image whose
// recipe is the one already in the store is left alone, so a second run
// resumes where the first was stopped.
func (b *Builder) Fill(ctx context.Context, s *store.Store, comps []component.Component, rep ui.Reporter) error {
	task := rep.Start("supply/modules", "Build images from Go modules and Debian packages")
	images, err := b.fill(ctx, s, comps, task)
	switch {
	case err != nil:
		task.Fail(err)
	case images == 0:
		task.Skip("every image is in the store")
	default:
		task.Done("%d images", images)
	}
	return err
}

// fill returns how many images it has built.
func (b *Builder) fill(ctx context.Context, s *store.Store, comps []component.Component, task ui.Task) (images int, err error) {
	unlock, err := b.lock(ctx, task)
	if err != nil {
		return 0, err
	}
	defer unlock()
	b.addComponents(comps)
	todo, err := b.plan(s, comps)
	if err != nil || len(todo.refs) == 0 {
		return 0, err
	}
	progress := newProgress(task, todo)
	for _, c := range comps {
		made, err := b.fillComponent(ctx, s, c, todo, progress)
		if err == nil && made > 0 {
			err = b.trimPeak()
		}
		if err != nil {
			return images, hint(fmt.Errorf("%s: %w", c.Name, err))
		}
		images += made
	}
	return images, b.trimRest()
}

// lock keeps two builders out of one set of caches, and clears away what a
// killed one left.
func (b *Builder) lock(ctx context.Context, task ui.Task) (unlock func(), err error) {
	dir, err := b.dir()
	if err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, "lock"))
	locked, err := l.TryLock()
	if err == nil && !locked {
		task.Detail("waiting for another build on this machine")
		_, err = l.TryLockContext(ctx, lockInterval)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	// The kernel drops the lock with the process; the file stays.
	unlock = func() { _ = l.Unlock() }
	left, err := filepath.Glob(filepath.Join(dir, "rebuild-*"))
	for _, d := range append(left, filepath.Join(dir, "tmp")) {
		err = errors.Join(err, os.RemoveAll(d))
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// hint says what to do about a build that failed for reasons that pass.
func hint(err error) error {
	if ui.Hint(err) != "" || errors.Is(err, context.Canceled) {
		return err
	}
	text := err.Error()
	for _, h := range []struct{ says, do string }{
		{"no space left on device", "make room and run it again: what is built stays built"},
		{"signal: killed", "a build was killed, often for want of memory; close other programs and run it again: what is built stays built"},
		{"dial tcp", "the network went away; run it again when it is back: what is built stays built"},
		{"i/o timeout", "the network is slow or gone; run it again: what is built stays built"},
	} {
		if strings.Contains(text, h.says) {
			return ui.WithHint(err, h.do)
		}
	}
	return err
}

// lockInterval is how often a builder that waits for another looks again.
const lockInterval = time.Second

func (b *Builder) addComponents(comps []component.Component) {
	for _, c := range comps {
		b.comps[c.Name] = c
	}
}

// fillComponent builds what plan says of one component and returns how many
// images that were.
func (b *Builder) fillComponent(ctx context.Context, s *store.Store, c component.Component, todo plan, m *progress) (int, error) {
	made := 0
	for _, img := range c.Images {
		if !todo.refs[img.Name] {
			continue
		}
		built, err := b.image(ctx, c, img, m)
		if err != nil {
			return made, fmt.Errorf("%s: %w", img.Name, err)
		}
		if err := built.put(s, img.Name); err != nil {
			return made, fmt.Errorf("%s: %w", img.Name, err)
		}
		made++
	}
	return made, nil
}

// modCacheName is the module cache's folder below CacheDir.
const modCacheName = "mod"

// path is a place below the build caches.
func (b *Builder) path(elem ...string) string {
	return filepath.Join(append([]string{b.opt.CacheDir}, elem...)...)
}

// dir is a folder of the build caches, made when missing.
func (b *Builder) dir(elem ...string) (string, error) {
	d := b.path(elem...)
	return d, os.MkdirAll(d, 0o755)
}
