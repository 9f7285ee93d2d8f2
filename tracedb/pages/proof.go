package pages

import (
	"encoding/hex"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
)

// pathStep is one combination on the path from a leaf to the root: the hash of 0x01, left and right.
type pathStep struct {
	Left, Right, Result string // hex
	Ours                string // left or right: which of the two came from the step before
}

// hashPath combines a leaf's hash with those of its inclusion proof, from the leaf up, and gives every
// combination and the root that they lead to (RFC 9162, section 2.1.3.2).
func hashPath(leaf tlog.Hash, seq, size int64, path []tlog.Hash) ([]pathStep, tlog.Hash, error) {
	if seq < 0 || seq >= size {
		return nil, tlog.Hash{}, wrong("proof.outside", size)
	}
	var out []pathStep
	fn, sn, r := seq, size-1, leaf
	for _, p := range path {
		if sn == 0 {
			return out, r, wrong("proof.long", size)
		}
		left, right, ours := r, p, "left"
		if fn&1 == 1 || fn == sn {
			left, right, ours = p, r, "right"
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		}
		fn, sn = fn>>1, sn>>1
		r = tlog.NodeHash(left, right)
		out = append(out, pathStep{Left: hexOf(left), Right: hexOf(right), Result: hexOf(r), Ours: ours})
	}
	if sn != 0 {
		return out, r, wrong("proof.short", size)
	}
	return out, r, nil
}

func hexOf(h tlog.Hash) string { return hex.EncodeToString(h[:]) }

// decodeHashes reads a proof's hashes.
func decodeHashes(list []string) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(list))
	for i, s := range list {
		var err error
		if out[i], err = tlog.ParseHash(s); err != nil {
			return nil, wrong("proof.no-hash", i)
		}
	}
	return out, nil
}

// openCheckpoint verifies a checkpoint of this log, and gives what it says and its origin.
func openCheckpoint(signed []byte, verifierKey string) (tracedb.Checkpoint, string, *problem) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return tracedb.Checkpoint{}, "", wrong("checkpoint.unsigned")
	}
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tracedb.Checkpoint{}, "", wrong("checkpoint.unsigned")
	}
	if origin, _, _ := strings.Cut(n.Text, "\n"); origin != verifier.Name() {
		return tracedb.Checkpoint{}, "", wrong("checkpoint.other-log")
	}
	c, err := tracedb.ParseCheckpoint(signed, verifier)
	if err != nil {
		return tracedb.Checkpoint{}, "", wrong("checkpoint.none")
	}
	return c, verifier.Name(), nil
}
