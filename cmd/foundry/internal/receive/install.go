package receive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hook is what runs when something is pushed. Gitea's own hook of that name runs all that stands in its folder.
const (
	hooks = "hooks/pre-receive.d"
	hook  = "size"
)

// Install puts the hook into every repository below a folder, owner/name.git, and into dir a copy of this program and
// git's template for those that are made later. It may run again. The hook lets no folder in that holds more than so many
// entries.
func Install(repositories, dir string, maxEntries int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	program := filepath.Join(dir, "foundry")
	if err := copySelf(program); err != nil {
		return fmt.Errorf("copy this program: %w", err)
	}
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' pre-receive --max-entries %d\n", program, maxEntries)
	all, err := below(repositories)
	if err != nil {
		return err
	}
	for _, into := range append(all, filepath.Join(dir, "template")) {
		if err := replace(filepath.Join(into, hooks, hook), func(f *os.File) error {
			_, err := io.WriteString(f, script)
			return err
		}); err != nil {
			return fmt.Errorf("put the hook into %s: %w", into, err)
		}
	}
	return nil
}

// below lists the repositories below a folder, which Gitea makes with the first of them.
func below(dir string) ([]string, error) {
	owners, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []string
	for _, owner := range owners {
		if !owner.IsDir() {
			continue
		}
		of, err := os.ReadDir(filepath.Join(dir, owner.Name()))
		if err != nil {
			return nil, err
		}
		for _, r := range of {
			if r.IsDir() && strings.HasSuffix(r.Name(), ".git") {
				all = append(all, filepath.Join(dir, owner.Name(), r.Name()))
			}
		}
	}
	return all, nil
}

func copySelf(name string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	return replace(name, func(f *os.File) error {
		_, err := io.Copy(f, self)
		return err
	})
}

// replace writes a program whole or not at all: it may be running.
func replace(name string, write func(f *os.File) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	// Hidden, since Gitea runs what its shell's * finds; and of one name, so that what a killed one left is used again.
	tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Chmod(0o755), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}
