package scenarios

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage"
)

// nestWidth is how many names each folder of a nest has for the next one.
const nestWidth = 10

// runNest commits so many levels of folders in a clone, each of which holds the next one under ten names: a few hundred
// bytes that are ten to the power of the levels files. The clone's own files stay as they are.
func runNest(c *call) error {
	repo, err := git.PlainOpen(c.ts.MkAbs(c.args[0]))
	if err != nil {
		return err
	}
	head, err := repo.Head()
	if err != nil {
		return err
	}
	blob := repo.Storer.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	// Never twice the same: git doesn't send what is there already.
	w, err := blob.Writer()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, rand.Text())
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	hash, err := repo.Storer.SetEncodedObject(blob)
	if err != nil {
		return err
	}
	mode := filemode.Regular
	for range c.number {
		var folder object.Tree
		for i := range nestWidth {
			folder.Entries = append(folder.Entries, object.TreeEntry{Name: fmt.Sprint("d", i), Mode: mode, Hash: hash})
		}
		if hash, err = encode(repo.Storer, &folder); err != nil {
			return err
		}
		mode = filemode.Dir
	}
	by := object.Signature{Name: "scenario", Email: "scenario@druppie.localhost", When: time.Now()}
	commit, err := encode(repo.Storer, &object.Commit{
		Author: by, Committer: by, Message: "Folders in folders", TreeHash: hash, ParentHashes: []plumbing.Hash{head.Hash()},
	})
	if err != nil {
		return err
	}
	return repo.Storer.SetReference(plumbing.NewHashReference(head.Name(), commit))
}

func encode(into storage.Storer, o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := into.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return into.SetEncodedObject(encoded)
}
