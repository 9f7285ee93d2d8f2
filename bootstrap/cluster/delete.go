package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/ui"
)

// Delete removes what Ensure made: nodes with their volumes, the mirror, kind's
// network where it was made here and nobody else uses it, and the state folder.
// It removes as much as it can, and returns what is left with the error that
// kept it. The images that were loaded into the engine for it go too, unless
// another container uses them; the store stays. A cluster that isn't there is no
// error.
func Delete(ctx context.Context, name, stateDir string, task ui.Task) (left []string, err error) {
	if err := ValidateName(name); err != nil {
		return nil, err
	}
	e := engine{}
	state, err := inspect(ctx, e, name)
	if err != nil {
		return nil, err
	}
	if !state.Ours() {
		return nil, foreign(state)
	}
	containers := state.containers()
	if state.Mirror != nil {
		containers = append(containers, state.Mirror.Name)
	}
	used, err := e.imagesOf(ctx, stateDir, containers)
	if err != nil {
		return nil, err
	}
	var errs []error
	if len(containers) > 0 {
		task.Detail("removing %d containers with their volumes", len(containers))
		errs = append(errs, e.remove(ctx, containers...))
	}
	errs = append(errs, e.removeNetwork(ctx), e.removeImages(ctx, stateDir), e.removeNameless(ctx, used))

	after, err := inspect(ctx, e, name)
	errs = append(errs, err)
	for _, n := range after.Nodes {
		left = append(left, "container "+n.Name)
	}
	if after.Mirror != nil {
		left = append(left, "container "+after.Mirror.Name)
	}
	// The folder goes last: while containers are left it says where they belong.
	if len(left) == 0 {
		dirs := []string{stateDir}
		if state.StateDir != "" && state.StateDir != stateDir {
			dirs = append(dirs, state.StateDir)
		}
		for _, dir := range dirs {
			if err := removeState(dir, name); err != nil {
				errs = append(errs, err)
				left = append(left, "folder "+dir)
			}
		}
	}
	return left, errors.Join(errs...)
}

// removeState removes a cluster's folder; never one that isn't called after it.
func removeState(dir, name string) error {
	if dir == "" {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("remove state: %w", err)
	}
	if filepath.Base(dir) != name {
		return fmt.Errorf("remove state: %s isn't the folder of cluster %q", dir, name)
	}
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}

// imagesOf returns the ids of images that were loaded for a cluster and that
// its containers use.
func (e engine) imagesOf(ctx context.Context, stateDir string, containers []string) ([]string, error) {
	if stateDir == "" {
		return nil, nil
	}
	loaded, err := loadedImages(stateDir)
	if err != nil {
		return nil, err
	}
	found, err := e.inspect(ctx, containers...)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range found {
		if slices.Contains(loaded, c.Config.Image) && !slices.Contains(ids, c.Image) {
			ids = append(ids, c.Image)
		}
	}
	return ids, nil
}

// removeNameless removes those images that have lost their name: another
// cluster, from another store, has loaded its own under it. One that a container
// still uses stays.
func (e engine) removeNameless(ctx context.Context, ids []string) error {
	for _, id := range ids {
		names, err := e.docker(ctx, "image", "inspect", "--format", "{{len .RepoTags}}", id)
		if isAbsent(err) || err == nil && strings.TrimSpace(names) != "0" {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at image %s: %w", id, err)
		}
		_, err = e.docker(ctx, "rmi", id)
		if err != nil && !isAbsent(err) && !strings.Contains(err.Error(), "conflict") {
			return fmt.Errorf("remove image %s: %w", id, err)
		}
	}
	return nil
}

func (e engine) removeImages(ctx context.Context, stateDir string) error {
	if stateDir == "" {
		return nil
	}
	images, err := loadedImages(stateDir)
	if err != nil {
		return err
	}
	for _, ref := range images {
		_, err := e.docker(ctx, "rmi", ref)
		if err != nil && !isAbsent(err) && !strings.Contains(err.Error(), "conflict") {
			return fmt.Errorf("remove image %s: %w", ref, err)
		}
	}
	return nil
}
