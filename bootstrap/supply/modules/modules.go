// Package modules owns the supply that needs no container registry: it builds
// every image from pinned Go modules and Debian packages into the store. It
// trusts the checksum database, the distribution's keys and npm's lockfiles,
// and refuses to build without the first. It knows no component by name: what
// is built is data, from package component.
package modules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply"
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
	// ModCache is the module cache; CacheDir's own when left out.
	ModCache string
	// Peak is how many bytes the build caches may take between two builds,
	// Rest how many are left when all is done.
	Peak, Rest int64
	// Go is the go command; "go" when left out.
	Go string
	// Toolchain is the Go toolchain by name; the pinned one when left out.
	Toolchain string
	// Log receives the output of the tools; nil drops it.
	Log func(line string)
}

// Builder builds images. It is a supply.Supply.
type Builder struct {
	opt Options
	run runner

	mu      sync.Mutex
	comps   map[string]component.Component
	rootfss map[string]*rootfs
}

// New returns a builder; it touches nothing before it is used.
func New(opt Options) *Builder {
	if opt.Peak == 0 {
		opt.Peak = defaultPeak
	}
	if opt.Rest == 0 {
		opt.Rest = defaultRest
	}
	if opt.Go == "" {
		opt.Go = "go"
	}
	if opt.Toolchain == "" {
		opt.Toolchain = defaultToolchain
	}
	return &Builder{opt: opt, run: runner{log: opt.Log}, rootfss: map[string]*rootfs{}}
}

// Name is the supply's name.
func (b *Builder) Name() string { return Name }

// tools are the programs a build calls, and the Debian package that has each.
var tools = []struct{ program, pkg string }{
	{"gcc", "gcc libc6-dev"},
	{"mmdebstrap", "mmdebstrap"},
	{"npm", "npm"},
}

// Packages lists the Debian packages that a build needs and this machine lacks.
func Packages() []string {
	var missing []string
	for _, t := range tools {
		if _, err := exec.LookPath(t.program); err != nil {
			missing = append(missing, strings.Fields(t.pkg)...)
		}
	}
	return missing
}

// Available says whether this machine can build: the tools are there, modules
// are verified, and the module proxy answers.
func (b *Builder) Available(ctx context.Context) error {
	if missing := Packages(); len(missing) > 0 {
		return ui.WithHint(
			fmt.Errorf("building from modules needs %s", strings.Join(missing, " ")),
			"apt-get install --no-install-recommends "+strings.Join(missing, " "))
	}
	if err := os.MkdirAll(b.opt.CacheDir, 0o755); err != nil {
		return err
	}
	out, err := b.run.output(ctx, b.goCommand("", false, "env", "-json", "GOSUMDB", "GOVERSION"))
	if err != nil {
		return fmt.Errorf("go toolchain %s: %w", b.opt.Toolchain, err)
	}
	var env struct{ GOSUMDB, GOVERSION string }
	if err := json.Unmarshal(out, &env); err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	if env.GOSUMDB == "off" {
		return ui.WithHint(errors.New("the checksum database is switched off, so modules can't be verified"),
			"go env -u GOSUMDB (and unset it in the environment)")
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// A small module that every build needs, so that nothing is fetched in vain.
	if _, err := b.run.output(ctx, b.goCommand("", false, "mod", "download", "-json", "golang.org/x/sync@v0.19.0")); err != nil {
		return ui.WithHint(fmt.Errorf("the Go module proxy doesn't answer: %w", err), "check GOPROXY and the network")
	}
	return nil
}

// Fill builds what the store lacks, in the order of comps. An image whose
// recipe is the one already in the store is left alone, so a second run
// resumes where the first was stopped.
func (b *Builder) Fill(ctx context.Context, s *supply.Store, comps []component.Component, rep ui.Reporter) error {
	task := rep.Start("supply/modules", "Build images from Go modules and Debian packages")
	unlock, err := b.lock(ctx, task)
	if err != nil {
		task.Fail(err)
		return err
	}
	defer unlock()
	// Upstream's manifests first: they are small, and rendering can begin.
	for _, c := range comps {
		if err := supply.PackSources(ctx, s, c); err != nil {
			task.Fail(err)
			return err
		}
	}
	b.know(comps)
	todo, err := b.plan(s, comps)
	if err != nil {
		task.Fail(err)
		return err
	}
	if len(todo.refs) == 0 {
		task.Skip("every image is in the store")
		return nil
	}
	meter := newMeter(task, todo)
	images := 0
	for _, c := range comps {
		made, err := b.fillComponent(ctx, s, c, todo, meter)
		if err == nil && made > 0 {
			err = b.trimPeak()
		}
		if err != nil {
			err = hint(fmt.Errorf("%s: %w", c.Name, err))
			task.Fail(err)
			return err
		}
		images += made
	}
	if err := b.trimRest(); err != nil {
		task.Fail(err)
		return err
	}
	task.Done("%d images", images)
	return nil
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

func (b *Builder) know(comps []component.Component) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.comps == nil {
		b.comps = map[string]component.Component{}
	}
	for _, c := range comps {
		b.comps[c.Name] = c
	}
}

// fillComponent builds what plan says of one component and returns how many
// images that were.
func (b *Builder) fillComponent(ctx context.Context, s *supply.Store, c component.Component, todo plan, m *meter) (int, error) {
	made := 0
	for _, img := range c.Images {
		if !todo.has(img.Name) {
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

func (b *Builder) modCache() string {
	if b.opt.ModCache != "" {
		return b.opt.ModCache
	}
	return filepath.Join(b.opt.CacheDir, "mod")
}

// dir is a folder of the build caches, made when missing.
func (b *Builder) dir(elem ...string) (string, error) {
	d := filepath.Join(append([]string{b.opt.CacheDir}, elem...)...)
	return d, os.MkdirAll(d, 0o755)
}
