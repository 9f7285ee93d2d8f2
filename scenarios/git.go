package scenarios

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
	droneservice "github.com/druppie/druppie-up/scenarios/drone-service"
	"github.com/druppie/druppie-up/scenarios/platform"
)

func runGit(c *call, p *platform.Platform) error {
	id, err := p.Identity(c.ctx, c.args[1])
	if err != nil {
		return err
	}
	switch c.args[0] {
	case "clone":
		_, err = git.PlainCloneContext(c.ctx, c.ts.MkAbs(c.args[3]), false, &git.CloneOptions{
			URL: p.GitURL(c.args[2]), Auth: basic(id),
			ReferenceName: plumbing.NewBranchReferenceName(names.MainBranch), SingleBranch: true,
		})
		return gitErr("clone "+c.args[2], err)
	case "commit":
		return gitCommit(c, id, false)
	case "amend":
		return gitCommit(c, id, true)
	case "push":
		return gitPush(c, p, id, "HEAD:refs/heads/"+c.args[3])
	case "force-push":
		return gitPush(c, p, id, "+HEAD:refs/heads/"+c.args[3])
	case "tag":
		return gitTag(c, p, id)
	}
	client, err := p.Gitea(c.ctx, c.args[1])
	if err != nil {
		return err
	}
	if c.args[0] == "head" && len(c.args) > 3 {
		return lastCommit(c, client)
	}
	if c.args[0] == "head" {
		b, resp, err := client.GetRepoBranch(names.Organisation, c.args[2], names.MainBranch)
		if err != nil {
			return giteaErr("read "+c.args[2], resp, err)
		}
		fmt.Fprintln(c.ts.Stdout(), b.Commit.ID)
		return nil
	}
	branch := names.MainBranch
	if len(c.args) > 4 {
		branch = c.args[4]
	}
	data, resp, err := client.GetFile(names.Organisation, c.args[2], branch, c.args[3])
	if err != nil {
		return giteaErr("read "+c.args[3]+" of "+c.args[2], resp, err)
	}
	_, err = c.ts.Stdout().Write(data)
	return err
}

// lastCommit prints the last commit of main that changed something in a folder.
func lastCommit(c *call, client *giteaclient.Client) error {
	list, resp, err := client.ListRepoCommits(names.Organisation, c.args[2], gitea.ListCommitOptions{
		ListOptions: gitea.ListOptions{Page: 1, PageSize: 1}, SHA: names.MainBranch, Path: c.args[3],
	})
	if err != nil {
		return giteaErr("read "+c.args[2], resp, err)
	}
	if len(list) == 0 {
		return fmt.Errorf("no commit of %s has %s", c.args[2], c.args[3])
	}
	fmt.Fprintln(c.ts.Stdout(), list[0].SHA)
	return nil
}

func basic(id platform.Identity) *githttp.BasicAuth {
	return &githttp.BasicAuth{Username: id.Username, Password: id.Token}
}

// gitCommit commits everything as the identity, deletions too; amend puts the commit in the place of the last one.
func gitCommit(c *call, id platform.Identity, amend bool) error {
	repo, err := git.PlainOpen(c.ts.MkAbs(c.args[2]))
	if err != nil {
		return err
	}
	tree, err := repo.Worktree()
	if err != nil {
		return err
	}
	if err := tree.AddWithOptions(&git.AddOptions{All: true}); err != nil {
		return err
	}
	hash, err := tree.Commit(c.args[3], &git.CommitOptions{
		Author: &object.Signature{Name: id.Username, Email: id.Email, When: time.Now()}, Amend: amend,
	})
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	fmt.Fprintln(c.ts.Stdout(), hash)
	return nil
}

// gitPush pushes what the clone is at: HEAD in the refspec stands for its branch.
func gitPush(c *call, p *platform.Platform, id platform.Identity, refspec string) error {
	repo, err := git.PlainOpen(c.ts.MkAbs(c.args[2]))
	if err != nil {
		return err
	}
	head, err := repo.Head()
	if err != nil {
		return err
	}
	var output bytes.Buffer
	err = repo.PushContext(c.ctx, &git.PushOptions{
		RemoteName: "origin", Auth: basic(id), Progress: &output,
		RefSpecs: []config.RefSpec{config.RefSpec(strings.Replace(refspec, "HEAD", head.Name().String(), 1))},
	})
	if err != nil && strings.TrimSpace(output.String()) != "" {
		err = fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(output.String()), " "))
	}
	if err != nil {
		return gitErr("push "+c.args[3], err)
	}
	if c.args[3] == names.MainBranch {
		origin, err := repo.Remote("origin")
		if err != nil {
			return err
		}
		c.settle(p, strings.TrimSuffix(path.Base(origin.Config().URLs[0]), ".git"), head.Hash().String())
	}
	return nil
}

// gitTag makes a tag of what the clone is at, or moves it there. Whatever becomes of the script, the tag is gone
// when it ends.
func gitTag(c *call, p *platform.Platform, id platform.Identity) error {
	c.cleanup("tag "+c.args[4]+" of "+c.args[3], func(after *call) error {
		admin, err := p.Gitea(after.ctx, names.UserAdmin)
		if err != nil {
			return err
		}
		resp, err := admin.DeleteTag(names.Organisation, c.args[3], c.args[4])
		if giteaclient.Status(resp) == http.StatusNotFound {
			return nil // another of the script's commands took it away
		}
		return err
	})
	return gitPush(c, p, id, "+HEAD:refs/tags/"+c.args[4])
}

// gitErr makes a refusal of what the server refused, as against what went wrong.
func gitErr(what string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", what, err)
	for _, no := range []string{"declined", "protected", "authorization failed", "authentication required", "permission", "forbidden", "maximum allowed size"} {
		if strings.Contains(strings.ToLower(err.Error()), no) {
			return refusal{wrapped}
		}
	}
	return wrapped
}

// giteaErr is a refusal where Gitea answered that the caller may not.
func giteaErr(what string, resp *gitea.Response, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", what, err)
	switch giteaclient.Status(resp) {
	case 401, 403, 405, 409, 422:
		return refusal{err}
	}
	return err
}

// runFill writes a file of that many MiB, which nothing makes smaller.
func runFill(c *call) error {
	f, err := os.Create(c.ts.MkAbs(c.args[0]))
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, c.number<<20)
	return errors.Join(err, f.Close())
}

// runOverlay makes a clone hold the sample service as it is embedded here, in the names of
// where the scenario runs and with the release named: what an earlier run left in the repository goes.
func runOverlay(c *call) error {
	dir := c.ts.MkAbs(c.args[0])
	if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
		return fmt.Errorf("%s is no clone: %w", c.args[0], err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == ".git" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if err := copyService(dir, c.opt.Place); err != nil {
		return err
	}
	file := filepath.Join(dir, "drone_service", "release.py")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	named := bytes.Replace(data, []byte(`RELEASE = "first"`), fmt.Appendf(nil, "RELEASE = %q", c.args[1]), 1)
	if bytes.Equal(named, data) {
		return errors.New("the sample names its release in another way than this command knows")
	}
	return os.WriteFile(file, named, 0o644)
}

// copyService writes the sample service's files, in the names of a place.
func copyService(dir string, at Place) error {
	if err := os.CopyFS(dir, droneservice.FS); err != nil {
		return err
	}
	named, err := filepath.Glob(filepath.Join(dir, "deploy", "*.yaml"))
	if err != nil {
		return err
	}
	rename := strings.NewReplacer(Sample().Service, at.Service, Sample().Algorithm, at.Algorithm)
	for _, file := range append(named, filepath.Join(dir, "algorithm.yaml")) {
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(rename.Replace(string(data))), 0o644)
		}
		if err != nil {
			return err
		}
	}
	caches, err := filepath.Glob(filepath.Join(dir, "*", "__pycache__"))
	for _, cache := range caches {
		err = errors.Join(err, os.RemoveAll(cache))
	}
	return err
}

// runSetImage makes a kustomization put a reference, by digest or by tag, in
// the place of an image's name.
func runSetImage(c *call) error {
	file := c.ts.MkAbs(c.args[0])
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	out, err := setImage(data, c.args[1], c.args[2])
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	return os.WriteFile(file, out, 0o644)
}

func setImage(data []byte, name, ref string) ([]byte, error) {
	var k types.Kustomization
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(k.Images, func(image types.Image) bool { return image.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no image is named %s", name)
	}
	image := types.Image{Name: name}
	if repo, digest, ok := strings.Cut(ref, "@"); ok {
		image.NewName, image.Digest = repo, digest
	} else if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		image.NewName, image.NewTag = ref[:i], ref[i+1:]
	} else {
		return nil, fmt.Errorf("%q has neither digest nor tag", ref)
	}
	if image.NewName == name {
		image.NewName = ""
	}
	k.Images[i] = image
	return yaml.Marshal(k)
}
