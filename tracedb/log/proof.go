package log

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log/store"
)

// hashes reads hashes of the tree that head names, and checks each against its root.
func (l *Log) hashes(ctx context.Context, head store.Head) tlog.HashReader {
	return tlog.TileHashReader(tree(head), tileReader{ctx, l})
}

// headAtLeast is the newest head, of at least that size if there is such a tree. Another program's records
// are looked for only if this one doesn't know of enough.
func (l *Log) headAtLeast(ctx context.Context, size int64) (store.Head, error) {
	known, _ := l.current()
	if !l.db.MultiWriter() && !l.opts.ReadOnly || size > 0 && known.Size >= size {
		return known, nil
	}
	ctx, cancel := l.withTimeout(ctx)
	defer cancel()
	head, err := store.LastHead(ctx, l.db.Read)
	if err == nil {
		err = checkConsistent(ctx, l.db.Read, known, head)
	}
	if err != nil {
		return store.Head{}, l.db.Translate(err)
	}
	l.setHead(head)
	return head, nil
}

// checkConsistent returns an error unless the tree of head contains that of known, which this program has seen
// in the log: then the head of known is still among those that are kept. A server that took over without
// the last records of the one before it is neither written to nor signed for, or there would be two logs
// of one name.
func checkConsistent(ctx context.Context, q store.Querier, known, head store.Head) error {
	if known.Size == 0 || known.Size == head.Size && known.Root == head.Root {
		return nil
	}
	kept, err := store.Heads(ctx, q, known.Size-1, 1)
	if err != nil {
		return err
	}
	if len(kept) == 0 || kept[0].Size != known.Size || kept[0].Root != known.Root {
		return tracedb.ErrUnavailable.Says("the database lacks records that were acknowledged: the log had a tree of %d records, which isn't in it any more", known.Size).
			WithHint("bring back the server that has them; to go on without them, start the service again")
	}
	return nil
}

// Checkpoint returns a signed head that covers everything acknowledged so far, by any replica. Without
// a signer its note is nil.
func (l *Log) Checkpoint(ctx context.Context) (tracedb.Checkpoint, error) {
	head, err := l.headAtLeast(ctx, 0)
	if err != nil {
		return tracedb.Checkpoint{}, err
	}
	l.mu.Lock()
	signed := l.note
	l.mu.Unlock()
	if signed.Note != nil && signed.Size == head.Size && signed.Root == head.Root {
		return signed, nil
	}
	signed = tracedb.Checkpoint{Size: head.Size, Root: head.Root}
	if l.opts.Signer == nil {
		return signed, nil
	}
	if signed.Note, err = note.Sign(&note.Note{Text: tracedb.CheckpointText(l.origin, head.Size, head.Root)}, l.opts.Signer); err != nil {
		return tracedb.Checkpoint{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	l.mu.Lock()
	l.note = signed
	l.mu.Unlock()
	return signed, nil
}

// Prove makes the inclusion proof of the record at seq in the tree of that size.
func (l *Log) Prove(ctx context.Context, seq, size int64) (tracedb.Proof, error) {
	head, err := l.headFor(ctx, size)
	if err != nil {
		return tracedb.Proof{}, err
	}
	if seq < 0 || seq >= size {
		return tracedb.Proof{}, tracedb.ErrNotFound.Says("the tree of %d records has no record %d", size, seq)
	}
	p, err := tlog.ProveRecord(size, seq, l.hashes(ctx, head))
	if err != nil {
		return tracedb.Proof{}, l.db.Translate(fmt.Errorf("prove record %d: %w", seq, err))
	}
	return tracedb.Proof{Seq: seq, Size: size, Hashes: base64s(p)}, nil
}

// Consistency shows that the tree of size from is a prefix of that of size to.
func (l *Log) Consistency(ctx context.Context, from, to int64) ([]string, error) {
	head, err := l.headFor(ctx, to)
	if err != nil {
		return nil, err
	}
	if from < 0 || from > to {
		return nil, tracedb.ErrNotFound.Says("a tree of %d records is no prefix of one of %d", from, to)
	}
	// The empty tree is a prefix of every tree, and every tree of itself: nothing needs to be shown.
	if from == 0 || from == to {
		return []string{}, nil
	}
	p, err := tlog.ProveTree(to, from, l.hashes(ctx, head))
	if err != nil {
		return nil, l.db.Translate(fmt.Errorf("prove that %d records come before %d: %w", from, to, err))
	}
	return base64s(p), nil
}

// headFor is a head of at least that size, or ErrNotFound.
func (l *Log) headFor(ctx context.Context, size int64) (store.Head, error) {
	head, err := l.headAtLeast(ctx, max(size, 1))
	if err == nil && size > head.Size {
		err = tracedb.ErrNotFound.Says("the log has %d records, not %d", head.Size, size)
	}
	return head, err
}

func base64s[H ~[]tlog.Hash](hashes H) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = h.String()
	}
	return out
}
