package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/go-git/go-git/v5"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

var releaseName = regexp.MustCompile(`RELEASE = "([^"]+)"`)

// runRestore makes main hold the sample service again where it holds something else, the way every change
// goes: builder proposes it on a branch, reviewer approves and merges it. The release's name may differ.
func runRestore(c *call, p *platform.Platform) error {
	branch := c.args[0]
	dir := "restore-" + branch
	do := func(run func(*call, *platform.Platform) error, args ...string) error {
		step := *c
		step.args = args
		if number, err := strconv.ParseInt(args[len(args)-1], 10, 64); err == nil {
			step.number = number
		}
		return run(&step, p)
	}
	if err := do(runGit, "clone", names.UserBuilder, names.RepoDroneService, dir); err != nil {
		return err
	}
	release := branch
	if data, err := os.ReadFile(filepath.Join(c.ts.MkAbs(dir), "drone_service", "release.py")); err == nil {
		if m := releaseName.FindSubmatch(data); m != nil {
			release = string(m[1])
		}
	}
	overlay := func(release string) error {
		return do(func(c *call, _ *platform.Platform) error { return runOverlay(c) }, dir, release)
	}
	if err := overlay(release); err != nil {
		return err
	}
	same, err := unchanged(c.ts.MkAbs(dir))
	if err != nil || same {
		return err
	}
	title := "Put the sample service back"
	if err := overlay(branch); err != nil {
		return err
	}
	if err := do(runGit, "commit", names.UserBuilder, dir, title); err != nil {
		return err
	}
	if err := do(runGit, "push", names.UserBuilder, dir, branch); err != nil {
		return err
	}
	if err := do(runPR, "open", names.UserBuilder, names.RepoDroneService, branch, title); err != nil {
		return err
	}
	for _, what := range []string{"approve", "merge"} {
		if err := do(runPR, what, names.UserReviewer, names.RepoDroneService, c.ts.Getenv("PR")); err != nil {
			return err
		}
	}
	return nil
}

// unchanged says whether a clone's files are as its commit has them.
func unchanged(dir string) (bool, error) {
	repo, err := git.PlainOpen(dir)
	if err != nil {
		return false, err
	}
	tree, err := repo.Worktree()
	if err != nil {
		return false, err
	}
	status, err := tree.Status()
	if err != nil {
		return false, fmt.Errorf("compare the clone with its commit: %w", err)
	}
	return status.IsClean(), nil
}
