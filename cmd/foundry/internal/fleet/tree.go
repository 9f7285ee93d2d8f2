package fleet

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
)

// Limits on what is read from a repository: fleet holds configuration.
const (
	maxFiles = 5000
	maxSize  = 1 << 20
)

// Read gives all files of a commit. Configuration is plain files: links,
// submodules and programs are refused, since a copy of them would not mean the
// same elsewhere.
func Read(commit *object.Commit) (Files, error) {
	tree, err := commit.Tree()
	if err != nil {
		return nil, fmt.Errorf("tree of %s: %w", commit.Hash, err)
	}
	return readTree(tree)
}

// ReadDeploy gives the files below deploy/ of a commit of a service.
func ReadDeploy(commit *object.Commit) (Files, error) {
	tree, err := commit.Tree()
	if err != nil {
		return nil, fmt.Errorf("tree of %s: %w", commit.Hash, err)
	}
	sub, err := tree.Tree(deployDir)
	if err != nil {
		return nil, fmt.Errorf("commit %s has no folder %s/: %w", commit.Hash, deployDir, err)
	}
	return readTree(sub)
}

func readTree(tree *object.Tree) (Files, error) {
	out := Files{}
	err := source.WalkTree(tree, func(name string, in *object.Tree, entry object.TreeEntry) error {
		if entry.Mode != filemode.Regular {
			return fmt.Errorf("%s isn't a plain file (mode %s): only those can be promoted", name, entry.Mode)
		}
		file, err := in.TreeEntryFile(&entry)
		// What is too large isn't fetched either.
		tooLarge := errors.Is(err, plumbing.ErrObjectNotFound)
		if err != nil && !tooLarge {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if tooLarge || file.Size > maxSize || len(out) == maxFiles {
			return fmt.Errorf("%s: more than %d files or one larger than %d bytes is no configuration", name, maxFiles, maxSize)
		}
		text, err := file.Contents()
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		out[name] = []byte(text)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
