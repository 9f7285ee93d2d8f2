package scenarios

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

var releaseName = regexp.MustCompile(`RELEASE = "([^"]+)"`)

// runRestore makes main hold the sample service again where it holds something else, the way every change
// goes: builder proposes it on a branch, reviewer approves and merges it. The release's name may differ.
func runRestore(c *call, p *platform.Platform) error {
	branch := c.args[0]
	dir := "restore-" + branch
	if err := c.do(p, runGit, "clone", names.UserBuilder, names.RepoDroneService, dir); err != nil {
		return err
	}
	release := branch
	if data, err := os.ReadFile(filepath.Join(c.ts.MkAbs(dir), "drone_service", "release.py")); err == nil {
		if m := releaseName.FindSubmatch(data); m != nil {
			release = string(m[1])
		}
	}
	overlay := func(release string) error {
		return c.do(p, func(c *call, _ *platform.Platform) error { return runOverlay(c) }, dir, release)
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
	return c.do(p, runMerge, names.RepoDroneService, dir, branch, title)
}

// runMerge brings what a clone holds onto main, the way every change goes: builder commits it and proposes it on a
// branch, reviewer approves and merges it.
func runMerge(c *call, p *platform.Platform) error {
	repo, dir, branch, title := c.args[0], c.args[1], c.args[2], c.args[3]
	if err := c.do(p, runGit, "commit", names.UserBuilder, dir, title); err != nil {
		return err
	}
	if err := c.do(p, runGit, "push", names.UserBuilder, dir, branch); err != nil {
		return err
	}
	return c.propose(p, repo, branch, title)
}

// do runs another command as if the script had it.
func (c *call) do(p *platform.Platform, run func(*call, *platform.Platform) error, args ...string) error {
	step := *c
	step.args = args
	if number, err := strconv.ParseInt(args[len(args)-1], 10, 64); err == nil {
		step.number = number
	}
	return run(&step, p)
}

// propose has builder propose what is on a branch, and reviewer approve and merge it.
func (c *call) propose(p *platform.Platform, repo, branch, title string) error {
	if err := c.do(p, runPR, "open", names.UserBuilder, repo, branch, title); err != nil {
		return err
	}
	pr := c.ts.Getenv("PR")
	for _, what := range []string{"approve", "merge"} {
		if err := c.do(p, runPR, what, names.UserReviewer, repo, pr); err != nil {
			if c.ended { // else that is among what the script cleans up
				err = errors.Join(err, c.do(p, runPR, "close", names.UserBuilder, repo, pr))
			}
			return err
		}
	}
	return nil
}

// runRevert takes a commit of main back, now or when the script ends.
func runRevert(c *call, p *platform.Platform) error {
	if c.args[0] == "later" {
		c.takeBack(p, c.args[1], c.args[2])
		return nil
	}
	_, err := revert(c, p, c.args[1], c.args[2])
	return err
}

// revert makes everything be as it was before a commit of main, the way every change goes, and sets COMMIT. Where it
// is so already it does nothing and gives no commit.
func revert(c *call, p *platform.Platform, repo, commit string) (reverted string, err error) {
	id, err := p.Identity(c.ctx, names.UserBuilder)
	if err != nil {
		return "", err
	}
	store := memory.NewStorage()
	clone, err := git.CloneContext(c.ctx, store, nil, &git.CloneOptions{
		URL: p.GitURL(repo), Auth: basic(id), ReferenceName: plumbing.NewBranchReferenceName(names.MainBranch), SingleBranch: true,
	})
	if err != nil {
		return "", gitErr("clone "+repo, err)
	}
	ref, err := clone.Head()
	if err != nil {
		return "", err
	}
	head, err := clone.CommitObject(ref.Hash())
	if err != nil {
		return "", err
	}
	unwanted, err := clone.CommitObject(plumbing.NewHash(commit))
	if err != nil {
		return "", fmt.Errorf("commit %s of %s: %w", commit, repo, err)
	}
	before, err := unwanted.Parent(0)
	if err != nil {
		return "", fmt.Errorf("what was before commit %s of %s: %w", commit, repo, err)
	}
	if head.TreeHash == before.TreeHash {
		return "", nil
	}
	by := object.Signature{Name: id.Username, Email: id.Email, When: time.Now()}
	title := "Take back " + commit[:12]
	raw := store.NewEncodedObject()
	err = (&object.Commit{
		Author: by, Committer: by, Message: title, TreeHash: before.TreeHash, ParentHashes: []plumbing.Hash{head.Hash},
	}).Encode(raw)
	if err != nil {
		return "", err
	}
	hash, err := store.SetEncodedObject(raw)
	if err != nil {
		return "", err
	}
	branch := plumbing.NewBranchReferenceName("take-back-" + commit[:12])
	if err := store.SetReference(plumbing.NewHashReference(branch, hash)); err != nil {
		return "", err
	}
	err = clone.PushContext(c.ctx, &git.PushOptions{Auth: basic(id), RefSpecs: []config.RefSpec{config.RefSpec("+" + branch + ":" + branch)}})
	if err != nil {
		return "", gitErr("push "+branch.Short(), err)
	}
	if err := c.propose(p, repo, branch.Short(), title); err != nil {
		return "", err
	}
	return c.ts.Getenv("COMMIT"), nil
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
