package source

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
)

func remoteOf(t *testing.T, g foundrytest.Git) Remote {
	t.Helper()
	u, err := URL(g.Address, g.Name)
	if err != nil {
		t.Fatal(err)
	}
	return Remote{URL: u, CA: g.CA}
}

// TestHistoryHasNoFiles takes a history in which something large came and went: names and hashes are there, at every
// commit, and nothing that is in a file.
func TestHistoryHasNoFiles(t *testing.T) {
	large := strings.Repeat("x", maxRead)
	g := foundrytest.NewGit(t, "druppie/drone-service", map[string]string{"a": "1", "large": large}, map[string]string{"large": "gone"})
	history := NewHistory(remoteOf(t, g))
	head, err := history.Commit(context.Background(), g.Commits[1])
	if err != nil {
		t.Fatal(err)
	}
	first, err := head.Parent(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*object.Commit{first, head} {
		names := 0
		if err := Walk(c, func(path string, in *object.Tree, e object.TreeEntry) error {
			names++
			if _, err := in.TreeEntryFile(&e); !errors.Is(err, plumbing.ErrObjectNotFound) {
				return fmt.Errorf("%s: got %v, want no object", path, err)
			}
			return nil
		}); err != nil || names != 2 {
			t.Errorf("%d names, %v", names, err)
		}
	}
	if _, err := history.Commit(context.Background(), strings.Repeat("0", 39)+"1"); err == nil {
		t.Error("a commit that isn't there was found")
	}
}

// TestCommitLeavesLargeFilesOut reads a commit with a file that nobody reads in memory.
func TestCommitLeavesLargeFilesOut(t *testing.T) {
	g := foundrytest.NewGit(t, "druppie/drone-service", map[string]string{"small": "1", "large": strings.Repeat("x", maxRead)})
	commit, err := Commit(context.Background(), remoteOf(t, g), g.Commits[0])
	if err != nil {
		t.Fatal(err)
	}
	if f, err := commit.File("small"); err != nil {
		t.Error(err)
	} else if text, err := f.Contents(); err != nil || text != "1" {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := commit.File("large"); err == nil {
		t.Error("the large file was fetched")
	}
}

// TestTooLarge refuses what has more bytes than may travel, and what takes more memory than there is, however little of
// it travels.
func TestTooLarge(t *testing.T) {
	large := strings.Repeat("x", maxRead-1)
	g := foundrytest.NewGit(t, "druppie/drone-service", map[string]string{"a": large}, map[string]string{"a": large + "y"})
	p := partial{revision: g.Commits[0], filter: packp.FilterBlobLimit(maxRead, packp.BlobLimitPrefixNone)}
	if err := p.fetch(context.Background(), remoteOf(t, g), io.Discard, 100); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
	for left, fits := range map[int64]bool{maxRead: false, maxRead + 10*objectCost: true} {
		got, err := p.inMemory(context.Background(), remoteOf(t, g), memory.NewStorage(), left)
		if fits != (err == nil) || fits && (got >= left-maxRead || got < 0) || !fits && !strings.Contains(err.Error(), "more than") {
			t.Errorf("with %d bytes left: %d stay, %v", left, got, err)
		}
	}
}

// TestWhatADeltaMakesCounts has a delta of a few bytes that makes much.
func TestWhatADeltaMakesCounts(t *testing.T) {
	var delta []byte
	delta = binary.AppendUvarint(delta, 5)
	delta = binary.AppendUvarint(delta, maxFile+1)
	b := &beginning{}
	for _, c := range delta {
		if n, err := b.Write([]byte{c}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := b.Write(make([]byte, 100)); err != nil || b.made() != maxFile+1 {
		t.Errorf("it makes %d, %v", b.made(), err)
	}
	if got := (&beginning{data: []byte{0x80}}).made(); got != 0 {
		t.Errorf("what ends too soon makes %d", got)
	}
}

// TestCheckoutRefusesLargeFiles has a file that the server keeps, since it is too large to build.
func TestCheckoutRefusesLargeFiles(t *testing.T) {
	g := foundrytest.NewGit(t, "druppie/drone-service", map[string]string{"model.bin": strings.Repeat("x", maxFile)})
	_, err := Checkout(context.Background(), remoteOf(t, g), g.Commits[0], t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "model.bin has 32 MiB or more") {
		t.Errorf("got %v", err)
	}
}

// TestWalkEnds counts files, and folders that hold each other so often that nobody could walk all of it.
func TestWalkEnds(t *testing.T) {
	store := memory.NewStorage()
	put := func(write func(plumbing.EncodedObject) error) plumbing.Hash {
		t.Helper()
		o := store.NewEncodedObject()
		if err := write(o); err != nil {
			t.Fatal(err)
		}
		hash, err := store.SetEncodedObject(o)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	file := put(func(o plumbing.EncodedObject) error { o.SetType(plumbing.BlobObject); return nil })
	folder := func(n int, mode filemode.FileMode, of plumbing.Hash) plumbing.Hash {
		tree := &object.Tree{}
		for i := range n {
			tree.Entries = append(tree.Entries, object.TreeEntry{Name: fmt.Sprintf("%06d", i), Mode: mode, Hash: of})
		}
		return put(tree.Encode)
	}
	bomb := folder(0, filemode.Regular, file)
	for range 10 {
		bomb = folder(10, filemode.Dir, bomb)
	}
	for _, tt := range []struct {
		name string
		tree plumbing.Hash
		ok   bool
	}{
		{"as many as may be", folder(MaxFiles, filemode.Regular, file), true},
		{"one more", folder(MaxFiles+1, filemode.Regular, file), false},
		{"empty folders, ten in each of ten in each", bomb, false},
	} {
		commit, err := object.GetCommit(store, put((&object.Commit{TreeHash: tt.tree}).Encode))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkSize(store, commit); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestCheckSizeAddsUp has one file under so many names that together they are too large to check out.
func TestCheckSizeAddsUp(t *testing.T) {
	files := map[string]string{}
	for i := range maxCommit/(maxFile/2) + 1 {
		files[fmt.Sprint("copy-", i)] = strings.Repeat("x", maxFile/2)
	}
	g := foundrytest.NewGit(t, "druppie/drone-service", files)
	_, err := Checkout(context.Background(), remoteOf(t, g), g.Commits[0], t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "200 MiB together") {
		t.Errorf("got %v", err)
	}
}
