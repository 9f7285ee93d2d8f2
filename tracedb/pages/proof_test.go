package pages

import (
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is a small log in memory, made with tlog alone.
type tree []tlog.Hash

func (t tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = t[x]
	}
	return out, nil
}

func grow(t *testing.T, n int64) tree {
	t.Helper()
	var hashes tree
	for i := range n {
		more, err := tlog.StoredHashes(i, fmt.Appendf(nil, "record %d", i), hashes)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	return hashes
}

// TestClimb compares with tlog, for every record of every small tree.
func TestClimb(t *testing.T) {
	for size := int64(1); size <= 20; size++ {
		hashes := grow(t, size)
		root, err := tlog.TreeHash(size, hashes)
		if err != nil {
			t.Fatal(err)
		}
		for seq := range size {
			path, err := tlog.ProveRecord(size, seq, hashes)
			if err != nil {
				t.Fatal(err)
			}
			leaf := tlog.RecordHash(fmt.Appendf(nil, "record %d", seq))
			steps, got, err := hashPath(leaf, seq, size, path)
			if err != nil || got != root {
				t.Errorf("record %d of %d: root %v, %v", seq, size, got, err)
			}
			if len(steps) != len(path) {
				t.Errorf("record %d of %d: %d steps for a path of %d", seq, size, len(steps), len(path))
			}
			for i, s := range steps {
				ours, theirs := s.Left, s.Right
				if s.Ours == "right" {
					ours, theirs = theirs, ours
				}
				before := hexOf(leaf)
				if i > 0 {
					before = steps[i-1].Result
				}
				if ours != before || theirs != hexOf(path[i]) {
					t.Errorf("record %d of %d, step %d: combines other hashes", seq, size, i)
				}
			}
			if len(path) == 0 {
				continue
			}
			// Controls: another leaf, another place, a path that was cut, one that was stretched.
			if _, got, err := hashPath(tlog.RecordHash([]byte("another")), seq, size, path); err == nil && got == root {
				t.Errorf("record %d of %d: another leaf leads to the root", seq, size)
			}
			if _, got, err := hashPath(leaf, (seq+1)%size, size, path); err == nil && got == root {
				t.Errorf("record %d of %d: another place leads to the root", seq, size)
			}
			if _, _, err := hashPath(leaf, seq, size, path[:len(path)-1]); err == nil {
				t.Errorf("record %d of %d: a path that was cut passes", seq, size)
			}
			if _, _, err := hashPath(leaf, seq, size, append(path[:len(path):len(path)], root)); err == nil {
				t.Errorf("record %d of %d: a path that was stretched passes", seq, size)
			}
		}
	}
	for _, seq := range []int64{-1, 3} {
		if _, _, err := hashPath(tlog.Hash{}, seq, 3, nil); err == nil {
			t.Errorf("record %d of 3 has a place", seq)
		}
	}
}
