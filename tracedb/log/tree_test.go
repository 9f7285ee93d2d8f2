package log_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// testReceipts appends, and proves every receipt with nothing but tlog.
func testReceipts(t *testing.T, e engine) {
	l := e.open(t)
	receipts := add(t, l, drafts("a", 300)...)
	cp := checkpoint(t, l)
	n, err := note.Open(cp.Note, note.VerifierList(logtest.Verifier(t)))
	if err != nil {
		t.Fatal(err)
	}
	if want := tracedb.CheckpointText(logtest.Origin, 300, cp.Root); n.Text != want || cp.Size != 300 {
		t.Errorf("checkpoint of size %d:\n%s\nwant:\n%s", cp.Size, n.Text, want)
	}
	entries, err := l.Range(t.Context(), 0, 1000)
	if err != nil || len(entries) != 300 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, r := range receipts {
		if r.Seq != int64(i) || r.Duplicate || r.Leaf != entries[i].Hash().String() || !r.Time.Equal(entries[i].Time) {
			t.Fatalf("receipt %d is %+v, its entry %+v", i, r, entries[i])
		}
		p, err := l.Prove(t.Context(), r.Seq, cp.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(parseHashes(t, p.Hashes), cp.Size, cp.Root, r.Seq, entries[i].Hash()); err != nil {
			t.Errorf("record %d: %v", r.Seq, err)
		}
		// A proof of one record proves no other.
		if err := tlog.CheckRecord(parseHashes(t, p.Hashes), cp.Size, cp.Root, r.Seq, entries[(i+1)%300].Hash()); err == nil {
			t.Errorf("record %d's proof proves another", r.Seq)
		}
	}
}

// testTree compares heads and proofs with tlog's own tree while the log grows in batches that cross the
// borders of tiles.
func testTree(t *testing.T, e engine) {
	l := e.open(t)
	random := rand.New(rand.NewPCG(1, 2))
	var ref reference
	sizes := []int64{0}
	if cp := checkpoint(t, l); cp.Size != 0 || cp.Root != ref.root(t, 0) {
		t.Errorf("the empty log's checkpoint is %d %s", cp.Size, cp.Root)
	}
	for _, n := range []int{1, 1, 253, 1, 1, 254, 1, 256, 17, 512, 3} {
		first := ref.size()
		for _, r := range add(t, l, drafts(strings.Repeat("x", len(sizes)), n)...) {
			ref.add(t, r.Seq, parseHashes(t, []string{r.Leaf})[0])
		}
		cp := checkpoint(t, l)
		if want := ref.root(t, cp.Size); cp.Size != first+int64(n) || cp.Root != want {
			t.Fatalf("after %d more: size %d root %s, want %s", n, cp.Size, cp.Root, want)
		}
		sizes = append(sizes, cp.Size)
	}
	last := sizes[len(sizes)-1]
	for _, to := range append(sizes[1:], 300, 700) {
		for range 20 {
			seq := random.Int64N(to)
			p, err := l.Prove(t.Context(), seq, to)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tlog.ProveRecord(to, seq, &ref)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]tlog.Hash(want), parseHashes(t, p.Hashes)); diff != "" {
				t.Fatalf("proof of %d in %d (-want +got):\n%s", seq, to, diff)
			}
		}
		for _, from := range sizes {
			if from == 0 || from > to {
				continue
			}
			p, err := l.Consistency(t.Context(), from, to)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(parseHashes(t, p), to, ref.root(t, to), from, ref.root(t, from)); err != nil {
				t.Errorf("%d before %d: %v", from, to, err)
			}
		}
	}
	for _, bad := range []struct{ seq, size int64 }{{0, last + 1}, {last, last}, {-1, last}, {0, 0}, {0, -1}} {
		if _, err := l.Prove(t.Context(), bad.seq, bad.size); !errors.Is(err, tracedb.ErrNotFound) {
			t.Errorf("proof of %d in %d: %v", bad.seq, bad.size, err)
		}
	}
	for _, bad := range []struct{ from, to int64 }{{2, 1}, {-1, 1}, {1, last + 1}} {
		if _, err := l.Consistency(t.Context(), bad.from, bad.to); !errors.Is(err, tracedb.ErrNotFound) {
			t.Errorf("consistency from %d to %d: %v", bad.from, bad.to, err)
		}
	}
}

func (r *reference) size() int64 {
	n := int64(0)
	for tlog.StoredHashCount(n) < int64(len(r.stored)) {
		n++
	}
	return n
}

// client reads the log as an outsider would: only tiles, entry bundles and a signed checkpoint.
type client struct {
	t *testing.T
	l *log.Log
}

func (c client) Height() int                     { return 8 }
func (c client) SaveTiles([]tlog.Tile, [][]byte) {}
func (c client) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		var err error
		if out[i], err = c.l.Tile(c.t.Context(), tile); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// testTiles verifies every leaf of the entry bundles with the tiles alone.
func testTiles(t *testing.T, e engine) {
	l := e.open(t)
	add(t, l, drafts("a", 600)...)
	cp := checkpoint(t, l)
	add(t, l, drafts("later", 5)...)
	hashes := tlog.TileHashReader(tlog.Tree{N: cp.Size, Hash: cp.Root}, client{t, l})
	for _, b := range []struct {
		index int64
		width int
	}{{0, 256}, {1, 256}, {2, 88}} {
		bundle, err := l.EntryBundle(t.Context(), b.index, b.width)
		if err != nil {
			t.Fatal(err)
		}
		seq := b.index * 256
		for len(bundle) > 0 {
			n := int(binary.BigEndian.Uint16(bundle))
			leaf := bundle[2 : 2+n]
			bundle = bundle[2+n:]
			want, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, seq)})
			if err != nil {
				t.Fatal(err)
			}
			if got := tlog.RecordHash(leaf); got != want[0] {
				t.Errorf("leaf %d hashes to %s, the tiles say %s", seq, got, want[0])
			}
			if entry, err := tracedb.ParseLeaf(leaf); err != nil || entry.Seq != seq {
				t.Errorf("leaf %d: %+v, %v", seq, entry, err)
			}
			seq++
		}
		if want := b.index*256 + int64(b.width); seq != want {
			t.Errorf("bundle %d ends at %d, want %d", b.index, seq, want)
		}
	}
	for _, tile := range []tlog.Tile{
		{H: 8, L: 0, N: 3, W: 1}, {H: 8, L: 0, N: 2, W: 94}, {H: 8, L: 1, N: 0, W: 3}, {H: 8, L: 2, N: 0, W: 1}, {H: 8, L: 0, N: 0, W: 0},
		{H: 8, L: 0, N: 0, W: 257}, {H: 8, L: -1, N: 0, W: 1}, {H: 8, L: 63, N: 0, W: 1}, {H: 4, L: 0, N: 0, W: 1}, {H: 8, L: 0, N: -1, W: 1},
		{H: 8, L: 0, N: 1 << 60, W: 1}, {H: 8, L: 0, N: 1<<55 + 1, W: 256},
	} {
		if _, err := l.Tile(t.Context(), tile); !errors.Is(err, tracedb.ErrNotFound) {
			t.Errorf("tile %+v: %v", tile, err)
		}
	}
	for _, b := range []struct {
		index int64
		width int
	}{{2, 94}, {3, 1}, {-1, 1}, {0, 0}, {0, 257}, {1 << 60, 1}} {
		if _, err := l.EntryBundle(t.Context(), b.index, b.width); !errors.Is(err, tracedb.ErrNotFound) {
			t.Errorf("bundle %+v: %v", b, err)
		}
	}
}

// testShort takes leaves from the end of a log behind its back: no tile and no bundle is shorter than it was
// asked to be.
func testShort(t *testing.T, e engine) {
	dsn := e.empty(t)
	l := e.openAt(t, dsn)
	add(t, l, drafts("a", 10)...)
	if err := e.exec(t, dsn, e.unguard("leaves")+"DELETE FROM leaves WHERE seq > 7"); err != nil {
		t.Fatal(err)
	}
	if bundle, err := l.EntryBundle(t.Context(), 0, 10); err == nil || !strings.Contains(err.Error(), "leaf 8 is missing") {
		t.Errorf("a bundle of %d bytes, %v", len(bundle), err)
	}
	if tile, err := l.Tile(t.Context(), tlog.Tile{H: 8, L: 0, N: 0, W: 10}); err == nil {
		t.Errorf("a tile of %d bytes", len(tile))
	}
	if _, err := l.EntryBundle(t.Context(), 0, 8); err != nil {
		t.Errorf("what is there: %v", err)
	}
}

// testReopen closes and opens the log at sizes around the borders of tiles.
func testReopen(t *testing.T, e engine) {
	dsn := e.empty(t)
	var ref reference
	for i, n := range []int{0, 1, 254, 1, 1, 300} {
		l := e.openAt(t, dsn)
		if l.Size() != ref.size() || checkpoint(t, l).Root != ref.root(t, ref.size()) {
			t.Fatalf("opened with size %d, want %d", l.Size(), ref.size())
		}
		if n > 0 {
			for _, r := range add(t, l, drafts(strings.Repeat("r", i), n)...) {
				ref.add(t, r.Seq, parseHashes(t, []string{r.Leaf})[0])
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sound(t, e.openAt(t, dsn))
}

// FuzzParseCheckpoint looks for notes that are read as something that wasn't signed.
func FuzzParseCheckpoint(f *testing.F) {
	signer, err := note.NewSigner(logtest.SignerKey())
	if err != nil {
		f.Fatal(err)
	}
	verifier, err := note.NewVerifier(logtest.VerifierKey())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tracedb.CheckpointText(logtest.Origin, 7, tlog.RecordHash([]byte("x"))))
	f.Add(logtest.Origin + "\n007\nAAAA\n")
	f.Add(logtest.Origin + "\n-1\n\n")
	f.Add("another\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := tracedb.ParseCheckpoint([]byte(text), verifier); err == nil {
			t.Fatal("an unsigned text was read")
		}
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			return
		}
		cp, err := tracedb.ParseCheckpoint(signed, verifier)
		if err != nil {
			return
		}
		if want := tracedb.CheckpointText(logtest.Origin, cp.Size, cp.Root); !strings.HasPrefix(text, want) {
			t.Fatalf("%q was read as %q", text, want)
		}
	})
}
