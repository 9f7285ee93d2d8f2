package export

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

// openCheckpoint reads a checkpoint that the log signed, with nothing else in it: other signatures would be
// bytes that can't be verified here.
func openCheckpoint(body []byte, verifier note.Verifier) (tracedb.Checkpoint, error) {
	c, err := tracedb.ParseCheckpoint(body, verifier)
	var unknown *note.UnverifiedNoteError
	if errors.As(err, &unknown) {
		return c, fmt.Errorf("isn't signed with the key that was given, which is one of %s", verifier.Name())
	}
	if err != nil {
		return c, fmt.Errorf("isn't a signed note with a checkpoint: %w", err)
	}
	n, err := note.Open(body, note.VerifierList(verifier))
	if err != nil {
		return c, err
	}
	again := n.Text + "\n"
	for _, s := range n.Sigs {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return c, errors.New("its signature isn't written as base64 is")
		}
		again += "— " + s.Name + " " + s.Base64 + "\n"
	}
	if again != string(body) {
		return c, errors.New("holds more than what is signed and the log's signature")
	}
	return c, nil
}

// readProof reads a proof that is for that record of that tree.
func readProof(p tracedb.Proof, seq, size int64) (tlog.RecordProof, error) {
	if p.Seq != seq || p.Size != size {
		return nil, fmt.Errorf("is for record %d of %d, not %d of %d", p.Seq, p.Size, seq, size)
	}
	proof := tlog.RecordProof{}
	for _, text := range p.Hashes {
		h, err := tlog.ParseHash(text)
		if err != nil || h.String() != text {
			return nil, errors.New("holds what isn't a hash")
		}
		proof = append(proof, h)
	}
	return proof, nil
}

// CheckChain checks a chain that came with proofs: its checkpoint is signed with the log's key, and
// every link's entry is in that tree. What links say beyond their entries, titles and details, is the
// service's word; an archive proves that too.
func CheckChain(c *why.Chain, verifierKey string) error {
	verifier, err := note.NewVerifier(strings.TrimSpace(verifierKey))
	if err != nil {
		return fmt.Errorf("read the log's key: %w", err)
	}
	checkpoint, err := openCheckpoint([]byte(c.Checkpoint), verifier)
	if err != nil {
		return fmt.Errorf("the checkpoint %w", err)
	}
	if checkpoint.Size != c.Size {
		return fmt.Errorf("the chain is of %d records, the checkpoint of %d", c.Size, checkpoint.Size)
	}
	for _, l := range c.Links {
		if l.Proof == nil {
			return fmt.Errorf("record %d came without a proof", l.Seq)
		}
		proof, err := readProof(*l.Proof, l.Seq, c.Size)
		if err != nil {
			return fmt.Errorf("the proof of record %d %w", l.Seq, err)
		}
		if err := tlog.CheckRecord(proof, checkpoint.Size, checkpoint.Root, l.Seq, l.Hash()); err != nil {
			return fmt.Errorf("record %d isn't in the log as it was told", l.Seq)
		}
	}
	return nil
}
