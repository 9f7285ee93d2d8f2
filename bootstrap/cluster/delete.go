package cluster

import (
	"context"
	"errors"
	"fmt"
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
	state, err := Inspect(ctx, name)
	if err != nil {
		return nil, err
	}
	if !state.Ours() {
		return nil, notOurs(state)
	}
	loaded, err := loadedImages(stateDir)
	if err != nil {
		return nil, err
	}
	var used []string // ids of images that were loaded for the cluster
	for _, c := range state.containers() {
		if slices.Contains(loaded, c.Config.Image) && !slices.Contains(used, c.Image) {
			used = append(used, c.Image)
		}
	}
	if n := len(state.containers()); n > 0 {
		task.Detail("removing %d containers with their volumes", n)
	}
	errs := []error{removeContainers(ctx, state.containerNames()...), removeNetwork(ctx)}
	for _, ref := range loaded {
		errs = append(errs, removeImage(ctx, ref))
	}
	for _, id := range used {
		errs = append(errs, removeUntagged(ctx, id))
	}
	after, err := Inspect(ctx, name)
	errs = append(errs, err)
	for _, name := range after.containerNames() {
		left = append(left, "container "+name)
	}
	// The folder is removed last: without it nobody could tell which images were loaded for the containers that are left.
	if len(left) == 0 {
		for _, dir := range slices.Compact([]string{stateDir, state.StateDir}) {
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
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove state: %w", err)
	}
	return nil
}

// removeUntagged removes an image that has no name any more: another cluster,
// from another store, has loaded its own under it.
func removeUntagged(ctx context.Context, id string) error {
	tags, err := docker(ctx, "image", "inspect", "--format", "{{len .RepoTags}}", id)
	if isAbsent(err) || err == nil && strings.TrimSpace(tags) != "0" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at image %s: %w", id, err)
	}
	return removeImage(ctx, id)
}

// removeImage removes an image; one that a container still uses stays.
func removeImage(ctx context.Context, image string) error {
	_, err := docker(ctx, "rmi", image)
	if err != nil && !isAbsent(err) && !strings.Contains(err.Error(), "conflict") {
		return fmt.Errorf("remove image %s: %w", image, err)
	}
	return nil
}
