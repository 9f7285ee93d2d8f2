package pages

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
)

type verifyData struct {
	Seq        string
	Head       head
	Problem    *problem
	Shown      *shown
	Old        string
	OldProblem *problem
	OldOK      bool
	OldSize    int64
}

// shown is a record's path to the signed root, calculated here.
type shown struct {
	line
	Disposed       bool
	PayloadHash    string
	Leaf, LeafHash string
	Steps          []pathStep
	Root           string
	Head           head
	OK             bool
	Problem        *problem
}

func (s *Site) verify(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	d := verifyData{Seq: strings.TrimSpace(q.Get("seq")), Old: q.Get("old")}
	if err := s.recordRead(r, "page", asked(r, "seq")); err != nil {
		return err
	}
	reads := &pageReader{Site: s, ctx: r.Context()}
	d.Head = reads.head()
	if reads.err != nil {
		return reads.err
	}
	var err error
	status := http.StatusOK
	if d.Seq != "" {
		d.Shown, err = s.prove(r, d.Seq, d.Head)
		switch {
		case errors.Is(err, tracedb.ErrInvalid):
			status, d.Problem = tracedb.ErrInvalid.Status, wrong("verify.bad-seq")
		case errors.Is(err, tracedb.ErrNotFound):
			status, d.Problem = tracedb.ErrNotFound.Status, wrong("verify.no-record", d.Head.Size)
		case err != nil:
			return err
		}
	}
	if d.Old != "" {
		d.OldSize, err = s.consistent(r, d.Old, d.Head)
		if err != nil && !errors.As(err, &d.OldProblem) {
			return err
		}
		d.OldOK = err == nil
	}
	return s.show(w, r, status, "verify", view{Data: d, Crumbs: []choice{{Key: "nav.verify"}}})
}

// prove calculates everything between a record's payload and the signature, and trusts none of what
// the log says about itself.
func (s *Site) prove(r *http.Request, number string, h head) (*shown, error) {
	e, err := s.entryAt(r, number)
	if err != nil {
		return nil, err
	}
	if e.Seq >= h.Size {
		return nil, tracedb.ErrNotFound.Says("the checkpoint doesn't cover record %d", e.Seq)
	}
	payload, err := s.payloadOf(r, e.Seq)
	if err != nil {
		return nil, err
	}
	proof, err := s.o.Reader.Prove(r.Context(), e.Seq, h.Size)
	if err != nil {
		return nil, fmt.Errorf("prove record %d: %w", e.Seq, err)
	}
	out := &shown{
		line: newLine(e, nil), Leaf: string(e.Leaf()), LeafHash: hexOf(e.Hash()), Head: h,
		Disposed: payload == nil, PayloadHash: tracedb.Digest(payload),
	}
	hashes, err := decodeHashes(proof.Hashes)
	if err == nil {
		var root tlog.Hash
		out.Steps, root, err = hashPath(e.Hash(), e.Seq, h.Size, hashes)
		out.Root = hexOf(root)
	}
	switch {
	case errors.As(err, &out.Problem):
	case out.Root != h.Root:
		out.Problem = wrong("proof.other-root")
	case !out.Disposed && out.PayloadHash != e.PayloadDigest:
		out.Problem = wrong("proof.other-payload")
	default:
		out.Problem = h.Problem
	}
	out.OK = out.Problem == nil
	return out, nil
}

// consistent checks that the log of now begins with the tree of a checkpoint that the reader kept, and
// gives its size. What doesn't hold is a *problem.
func (s *Site) consistent(r *http.Request, old string, now head) (int64, error) {
	// A browser sends a form's lines with carriage returns, and people leave out the last line's end.
	old = strings.TrimRight(strings.ReplaceAll(old, "\r\n", "\n"), "\n") + "\n"
	then, _, problem := openCheckpoint([]byte(old), s.o.VerifierKey)
	switch {
	case problem != nil:
		return 0, problem
	case now.Origin == "":
		return 0, wrong("checkpoint.other-log")
	case then.Size > now.Size:
		return 0, wrong("checkpoint.removed", then.Size, now.Size)
	case then.Size == 0:
		return 0, nil
	case then.Size == now.Size && then.Root != now.Checkpoint.Root:
		return 0, wrong("checkpoint.rewritten")
	case then.Size == now.Size:
		return then.Size, nil
	}
	list, err := s.o.Reader.Consistency(r.Context(), then.Size, now.Size)
	if err != nil {
		return 0, fmt.Errorf("prove consistency: %w", err)
	}
	proof, err := decodeHashes(list)
	if err != nil {
		return 0, err
	}
	if err := tlog.CheckTree(tlog.TreeProof(proof), now.Size, now.Checkpoint.Root, then.Size, then.Root); err != nil {
		return 0, wrong("checkpoint.rewritten")
	}
	return then.Size, nil
}
