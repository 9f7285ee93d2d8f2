package component

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"sigs.k8s.io/yaml"
)

// FileName is the file that describes a component, in a folder of its own.
const FileName = "component.yaml"

// Load reads every component.yaml one folder below the root of fsys and
// returns the components in the order in which they are needed. All mistakes
// are reported together.
func Load(fsys fs.FS) ([]Component, error) {
	files, err := fs.Glob(fsys, "*/"+FileName)
	if err != nil {
		return nil, err
	}
	var all []Component
	var errs []error
	for _, file := range files {
		c, err := read(fsys, file)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		all = append(all, c)
	}
	errs = append(errs, crossCheck(all)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(all, compare)
	return all, nil
}

func read(fsys fs.FS, file string) (Component, error) {
	var c Component
	raw, err := fs.ReadFile(fsys, file)
	if err != nil {
		return c, err
	}
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return c, err
	}
	dir := path.Dir(file)
	if c.Name != dir {
		return c, fmt.Errorf("name %q is not the folder's name", c.Name)
	}
	for i := range c.Sources {
		if c.Sources[i].Name == "" {
			c.Sources[i].Name = c.Name
		}
	}
	// Text beside the component is part of its data from here on.
	for i := range c.Images {
		for j := range c.Images[i].Files {
			f := &c.Images[i].Files[j]
			if f.Embed == "" {
				continue
			}
			text, err := fs.ReadFile(fsys, path.Join(dir, f.Embed))
			if err != nil {
				return c, err
			}
			f.Text, f.Embed = string(text), ""
		}
	}
	return c, c.validate()
}

func (c Component) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains(Stages(), c.Stage) {
		bad("stage %q is none of %s", c.Stage, strings.Join(Stages(), ", "))
	}
	if c.Version == "" {
		bad("version is missing")
	}
	if c.Licence == "" {
		bad("licence is missing")
	}
	seen := map[string]bool{}
	for _, s := range c.Sources {
		if seen["source "+s.Name] {
			bad("source %q stands twice", s.Name)
		}
		seen["source "+s.Name] = true
		if err := module.CheckPath(s.Module); err != nil {
			bad("source %q: %w", s.Name, err)
		}
		if !semver.IsValid(s.Version) {
			bad("source %q: version %q is not one of a Go module", s.Name, s.Version)
		}
		for _, f := range s.Files {
			if !fs.ValidPath(f) {
				bad("source %q: file %q leaves the module", s.Name, f)
			}
		}
	}
	for _, b := range c.Binaries {
		if seen["binary "+b.Name] {
			bad("binary %q stands twice", b.Name)
		}
		seen["binary "+b.Name] = true
		if _, ok := c.Source(b.Source); !ok {
			bad("binary %q: no source %q", b.Name, b.Source)
		}
		if (b.Package == "") == (b.C == "") {
			bad("binary %q: needs either a package or a C file", b.Name)
		}
	}
	for _, i := range c.Images {
		if err := i.validate(c); err != nil {
			bad("image %q: %w", i.Name, err)
		}
	}
	return errors.Join(errs...)
}

func (i Image) validate(c Component) error {
	if _, err := name.NewTag(i.Name, name.StrictValidation); err != nil {
		return err
	}
	if !strings.Contains(strings.SplitN(i.Name, "/", 2)[0], ".") {
		return errors.New("the registry's name must be written out")
	}
	if i.Digest != "" && !strings.HasPrefix(i.Digest, "sha256:") {
		return fmt.Errorf("digest %q", i.Digest)
	}
	if i.Debian == nil && len(i.Files) == 0 {
		return errors.New("has no recipe")
	}
	if i.Debian != nil && len(i.Debian.Packages) == 0 {
		return errors.New("debian names no packages")
	}
	for _, f := range i.Files {
		if !path.IsAbs(f.To) || path.Clean(f.To) != f.To {
			return fmt.Errorf("path %q must be absolute and clean", f.To)
		}
		n := 0
		for _, set := range []bool{f.Binary != "", f.From != "", f.Text != "", f.Link != "", f.Dir, f.Generate != ""} {
			if set {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%s: needs exactly one kind of content", f.To)
		}
		if f.From != "" {
			if _, ok := c.Source(f.Source); !ok {
				return fmt.Errorf("%s: no source %q", f.To, f.Source)
			}
		}
	}
	return nil
}

// crossCheck finds what one component can't see: names taken twice and
// binaries of others that don't exist.
func crossCheck(all []Component) []error {
	var errs []error
	images := map[string]string{}
	binaries := map[string]bool{}
	for _, c := range all {
		for _, b := range c.Binaries {
			binaries[c.Name+"/"+b.Name] = true
		}
		for _, i := range c.Images {
			if other, ok := images[i.Name]; ok {
				errs = append(errs, fmt.Errorf("image %q stands in %s and %s", i.Name, other, c.Name))
			}
			images[i.Name] = c.Name
		}
	}
	for _, c := range all {
		for _, i := range c.Images {
			for _, f := range i.Files {
				if f.Binary == "" {
					continue
				}
				full := f.Binary
				if !strings.Contains(full, "/") {
					full = c.Name + "/" + full
				}
				if !binaries[full] {
					errs = append(errs, fmt.Errorf("image %q: no binary %q", i.Name, full))
				}
			}
		}
	}
	return errs
}

func compare(a, b Component) int {
	stage := func(c Component) int { return slices.Index(Stages(), c.Stage) }
	return cmp.Or(stage(a)-stage(b), a.Order-b.Order, strings.Compare(a.Name, b.Name))
}
