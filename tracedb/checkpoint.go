package tracedb

import (
	"fmt"
	"math"

	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a signed tree head (C2SP tlog-checkpoint) and what it says.
type Checkpoint struct {
	Note []byte    // the signed note
	Size int64     // of the tree
	Root tlog.Hash //
}

// CheckpointText is the text of a checkpoint before it is signed.
func CheckpointText(origin string, size int64, root tlog.Hash) string {
	return string(formats.Checkpoint{Origin: origin, Size: uint64(size), Hash: root[:]}.Marshal())
}

// ParseCheckpoint verifies a signed checkpoint and returns what it says. Its origin is the verifier's name, and
// it is in the one form that CheckpointText writes. Lines beyond the third are extensions, which a log that isn't
// ours may have. A signature by another key alone is a *note.UnverifiedNoteError.
func ParseCheckpoint(signed []byte, verifier note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	var c formats.Checkpoint
	extensions, err := c.Unmarshal([]byte(n.Text))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read checkpoint: %w", err)
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("read checkpoint: not one of %s", verifier.Name())
	}
	if c.Size > math.MaxInt64 || len(c.Hash) != tlog.HashSize || string(c.Marshal())+string(extensions) != n.Text {
		return Checkpoint{}, fmt.Errorf("read checkpoint: size or root hash aren't in canonical form")
	}
	return Checkpoint{Note: signed, Size: int64(c.Size), Root: tlog.Hash(c.Hash)}, nil
}
