package modules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"

	"github.com/druppie/druppie-up/bootstrap/component"
)

// arch is the machine that images are built for: the one we run on.
const arch = runtime.GOARCH

// source makes a writable copy of a source with its go.mod edited.
func (b *Builder) source(ctx context.Context, c component.Component, s component.Source) (string, error) {
	dir, err := b.dir("src", c.Name+"-"+s.Name)
	if err != nil {
		return "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if len(s.Edit.Main) > 0 {
		return dir, writeMain(dir, c, s)
	}
	from, err := b.opt.Go.Download(ctx, s.Module, s.Version)
	if err != nil {
		return "", err
	}
	// What the module cache holds is read-only; the copy isn't.
	if err := os.CopyFS(dir, os.DirFS(from.Dir)); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "go.mod")
	old, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	edited, err := editGoMod(old, s.Edit)
	if err != nil {
		return "", fmt.Errorf("%s: go.mod: %w", s.Module, err)
	}
	return dir, os.WriteFile(file, edited, 0o644)
}

func writeMain(dir string, c component.Component, s component.Source) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var f modfile.File
	if err := errors.Join(f.AddModuleStmt("druppie.io/build/"+c.Name), f.AddGoStmt("1.26.0"), f.AddRequire(s.Module, s.Version)); err != nil {
		return err
	}
	for _, m := range slices.Sorted(maps.Keys(s.Edit.Require)) {
		if err := f.AddRequire(m, s.Edit.Require[m]); err != nil {
			return err
		}
	}
	mod, err := f.Format()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o644); err != nil {
		return err
	}
	for name, text := range s.Edit.Main {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// editGoMod applies e to a go.mod.
func editGoMod(data []byte, e component.Edit) ([]byte, error) {
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return nil, err
	}
	for _, p := range e.Published {
		found := false
		for _, r := range f.Replace {
			if r.New.Version != "" || !under(r.New.Path, p.Path) {
				continue
			}
			found = true
			old := r.Old // dropping blanks the line in place
			if err := f.DropReplace(old.Path, old.Version); err != nil {
				return nil, err
			}
			if err := f.AddRequire(old.Path, p.Version); err != nil {
				return nil, err
			}
		}
		if !found {
			return nil, fmt.Errorf("nothing is replaced by a folder below %s", p.Path)
		}
	}
	for _, m := range e.DropReplace {
		i := slices.IndexFunc(f.Replace, func(r *modfile.Replace) bool { return r.Old.Path == m })
		if i < 0 {
			return nil, fmt.Errorf("%s is not replaced", m)
		}
		if err := f.DropReplace(m, f.Replace[i].Old.Version); err != nil {
			return nil, err
		}
	}
	for _, m := range slices.Sorted(maps.Keys(e.Require)) {
		if err := module.Check(m, e.Require[m]); err != nil {
			return nil, err
		}
		if err := f.AddRequire(m, e.Require[m]); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}

func under(p, dir string) bool {
	return p == strings.TrimSuffix(dir, "/") || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// binaries builds all binaries of a source with one go build and returns the
// folder that holds them under their names. A folder that is there is
// complete: it is put in place by a rename.
func (b *Builder) binaries(ctx context.Context, c component.Component, s component.Source, m *progress) (string, error) {
	key, err := b.sourceKey(c, s)
	if err != nil {
		return "", err
	}
	outs, err := b.dir("out")
	if err != nil {
		return "", err
	}
	final := filepath.Join(outs, c.Name+"-"+s.Name+"-"+key[:16])
	if _, err := os.Stat(final); err == nil {
		m.built(c.Name, s.Name)
		return final, nil
	}
	defer m.work(c.Name, s.Name)()
	src, err := b.source(ctx, c, s)
	if err != nil {
		return "", err
	}
	tmp := final + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return "", err
	}
	var pkgs []string
	for _, bin := range binariesOf(c, s) {
		if bin.C != "" {
			if err := b.compileC(ctx, c, src, bin, tmp); err != nil {
				return "", err
			}
			continue
		}
		pkgs = append(pkgs, bin.Package)
	}
	if len(pkgs) > 0 {
		args := append([]string{"build", "-ldflags=" + ldflags(s.Build), "-tags=" + strings.Join(s.Build.Tags, ","), "-o", tmp + "/"}, pkgs...)
		if _, err := b.goTool(ctx, src, s.Build.Cgo, args...); err != nil {
			return "", err
		}
	}
	if err := nameBinaries(c, s, src, tmp); err != nil {
		return "", err
	}
	if s.Build.Web != nil {
		if err := b.web(ctx, c, s, src, tmp, m); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(src); err != nil {
		return "", err
	}
	return final, os.Rename(tmp, final)
}

func ldflags(bld component.Build) string {
	flags := []string{"-s", "-w", "-buildid="}
	for _, k := range slices.Sorted(maps.Keys(bld.Vars)) {
		flags = append(flags, fmt.Sprintf("'-X=%s=%s'", k, bld.Vars[k]))
	}
	return strings.Join(flags, " ")
}

// nameBinaries gives each program the name that the component calls it by: go
// build names a program after its package's last folder.
func nameBinaries(c component.Component, s component.Source, src, out string) error {
	mod, err := os.ReadFile(filepath.Join(src, "go.mod"))
	if err != nil {
		return err
	}
	for _, bin := range binariesOf(c, s) {
		if bin.C != "" {
			continue
		}
		made := path.Base(bin.Package)
		if bin.Package == "." {
			prefix, _, _ := module.SplitPathVersion(modfile.ModulePath(mod))
			made = path.Base(prefix)
		}
		if made == bin.Name {
			continue
		}
		if err := os.Rename(filepath.Join(out, made), filepath.Join(out, bin.Name)); err != nil {
			return err
		}
	}
	return nil
}

// compileC links one C file statically, for the few helpers that are no Go.
func (b *Builder) compileC(ctx context.Context, c component.Component, src string, bin component.Binary, out string) error {
	args := []string{"-Os", "-Wall", "-Werror", "-static", "-s", "-Wl,--build-id=none",
		"-DVERSION=" + c.Version, "-ffile-prefix-map=" + src + "=.",
		"-o", filepath.Join(out, bin.Name), bin.C}
	_, err := b.tool(ctx, src, nil, "gcc", args...)
	return err
}
