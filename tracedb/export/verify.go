package export

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
)

// Report says what was found in an archive, file by file.
type Report struct {
	OK         bool        `json:"ok"`
	Subject    tracedb.Ref `json:"subject"`
	Origin     string      `json:"origin"` // of the log
	Size       int64       `json:"size"`   // of the tree at the archive's checkpoint
	Records    int         `json:"records"`
	Disposed   int         `json:"disposed"`   // payloads that were disposed of, as a record in the archive says
	Signatures int         `json:"signatures"` // attestations whose signature was checked
	Files      []File      `json:"files"`
	// NotCompared are files that another version of this program worded: they prove nothing, and whether they say what
	// the records say isn't known.
	NotCompared []string `json:"not_compared,omitempty"`
}

// File is what was found about one file of the archive.
type File struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// nameArchive names the archive itself, where the fault is in no file of it.
const nameArchive = "(archive)"

func (r *Report) wrong(name, format string, args ...any) {
	problem := fmt.Sprintf(format, args...)
	if i := slices.IndexFunc(r.Files, func(f File) bool { return f.Name == name }); i >= 0 {
		r.Files[i].Problem += "; " + problem
		return
	}
	r.Files = append(r.Files, File{Name: name, Problem: problem})
}

// Err is the error that an archive is in which something is wrong; nil for one that is as the log signed it.
func (r *Report) Err() error {
	if r.OK {
		return nil
	}
	var bad []string
	for _, f := range r.Files {
		if !f.OK {
			bad = append(bad, f.Name)
		}
	}
	first := ""
	if len(bad) > 0 {
		first = ", first " + bad[0]
	}
	return fmt.Errorf("the archive isn't what the log signed (files that are wrong: %d%s)", len(bad), first)
}

func (r *Report) isWrong(name string) bool {
	return slices.ContainsFunc(r.Files, func(f File) bool { return f.Name == name })
}

// Verify checks an archive with nothing but the log's verifier key, in the form of golang.org/x/mod's
// note.NewVerifier: name+hash+base64. What is wrong with the archive is in the report; the error is for
// what kept Verify from looking.
func Verify(archive io.ReaderAt, size int64, verifierKey string) (*Report, error) {
	verifier, err := note.NewVerifier(strings.TrimSpace(verifierKey))
	if err != nil {
		return nil, fmt.Errorf("read the log's key: %w", err)
	}
	r := &Report{}
	if size > MaxSize {
		r.wrong(nameArchive, "has %d bytes, at most %d are read", size, MaxSize)
		return r, nil
	}
	raw := make([]byte, size)
	if _, err := archive.ReadAt(raw, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	all := unpack(raw, r)
	r.check(all, verifier)
	repacked(raw, all, r)
	r.conclude(all)
	return r, nil
}

// conclude lists the files that nothing was wrong with, too.
func (r *Report) conclude(all files) {
	r.OK = len(r.Files) == 0 && len(all) > 0
	for name := range all {
		if !r.isWrong(name) {
			r.Files = append(r.Files, File{Name: name, OK: true})
		}
	}
	slices.SortFunc(r.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
}

// check goes from what is given, the key, to what follows from it: the checkpoint, the entries in its
// tree, the payloads that these name, the keys and disposals in them, and at last the files that are
// only another form of all that.
func (r *Report) check(all files, verifier note.Verifier) {
	m := r.manifest(all)
	r.Subject, r.Records = m.Subject, len(m.Records)
	root, signed := r.checkpoint(all, verifier)
	records := map[int64]tracedb.Record{}
	for _, seq := range m.Records {
		if e, ok := r.entry(all, seq, root, signed); ok {
			records[seq] = tracedb.Record{Entry: e}
		}
	}
	gone := r.payloads(all, records)
	r.signatures(records)
	r.keys(all, records)
	r.disposals(records, gone)
	r.subject(m, records)
	r.derived(all, m, records)
	for name := range all {
		if !expected(name, m) {
			r.wrong(name, "isn't part of what the manifest lists")
		}
	}
}

// expected says whether a file is of a record that the manifest lists, or belongs to the archive itself.
func expected(name string, m manifest) bool {
	_, rest, ok := strings.Cut(name, "/")
	if !ok {
		return true
	}
	number, _, _ := strings.Cut(rest, ".")
	seq, err := strconv.ParseInt(number, 10, 64)
	return err == nil && slices.Contains(m.Records, seq)
}

// get is a file that must be there.
func (r *Report) get(all files, name string) ([]byte, bool) {
	body, ok := all[name]
	if !ok && !r.isWrong(name) {
		r.wrong(name, "is missing")
	}
	return body, ok
}

// decode reads JSON of ours in the one form that it has.
func (r *Report) decode(all files, name string, v any) bool {
	body, ok := r.get(all, name)
	if !ok {
		return false
	}
	if err := json.Unmarshal(body, v); err != nil {
		r.wrong(name, "can't be read: %v", err)
		return false
	}
	if !bytes.Equal(encode(v), body) {
		r.wrong(name, "isn't written as an export is")
		return false
	}
	return true
}

func (r *Report) manifest(all files) manifest {
	var m manifest
	if !r.decode(all, nameManifest, &m) {
		// The entries still show which records there are.
		for name := range all {
			if number, ok := strings.CutPrefix(name, "entries/"); ok {
				if seq, err := strconv.ParseInt(strings.TrimSuffix(number, ".json"), 10, 64); err == nil {
					m.Records = append(m.Records, seq)
				}
			}
		}
		slices.Sort(m.Records)
		return m
	}
	if m.Format != Format {
		r.wrong(nameManifest, "is of the format %.60q, not %s", m.Format, Format)
	}
	if err := m.Subject.Check(); err != nil {
		r.wrong(nameManifest, "the subject: %v", err)
	}
	if !slices.IsSorted(m.Records) || len(slices.Compact(slices.Clone(m.Records))) != len(m.Records) || len(m.Records) == 0 || len(m.Records) > MaxRecords {
		r.wrong(nameManifest, "the records aren't a list of different places in order")
		slices.Sort(m.Records)
		m.Records = slices.Compact(m.Records)
		m.Records = m.Records[:min(len(m.Records), MaxRecords)]
	}
	return m
}

// checkpoint checks the log's signature of its tree head.
func (r *Report) checkpoint(all files, verifier note.Verifier) (root tlog.Hash, ok bool) {
	body, there := r.get(all, nameCheckpoint)
	if !there {
		return tlog.Hash{}, false
	}
	checkpoint, err := openCheckpoint(body, verifier)
	if err != nil {
		r.wrong(nameCheckpoint, "%v", err)
		return tlog.Hash{}, false
	}
	r.Origin, r.Size = verifier.Name(), checkpoint.Size
	return checkpoint.Root, true
}

// entry checks that a record's leaf is canonical and in the tree.
func (r *Report) entry(all files, seq int64, root tlog.Hash, signed bool) (tracedb.Entry, bool) {
	name := nameEntry(seq)
	leaf, ok := r.get(all, name)
	if !ok {
		return tracedb.Entry{}, false
	}
	e, err := tracedb.ParseLeaf(leaf)
	if err != nil {
		r.wrong(name, "%v", err)
		return tracedb.Entry{}, false
	}
	if e.Seq != seq {
		r.wrong(name, "is record %d", e.Seq)
		return tracedb.Entry{}, false
	}
	proof, ok := r.proof(all, seq)
	switch {
	case !signed:
		r.wrong(name, "can't be proven without a checkpoint that is right")
	case !ok:
		r.wrong(name, "can't be proven without a proof that is right")
	default:
		if err := tlog.CheckRecord(proof, r.Size, root, seq, tlog.RecordHash(leaf)); err != nil {
			r.wrong(name, "isn't the log's record %d, or its proof is wrong", seq)
			r.wrong(nameProof(seq), "doesn't lead from the entry to the checkpoint")
		}
	}
	return e, true
}

func (r *Report) proof(all files, seq int64) (tlog.RecordProof, bool) {
	var p tracedb.Proof
	name := nameProof(seq)
	if !r.decode(all, name, &p) {
		return nil, false
	}
	proof, err := readProof(p, seq, r.Size)
	if err != nil {
		r.wrong(name, "%v", err)
	}
	return proof, err == nil
}

// payloads checks that each payload is the one that its entry names, and gives those that aren't there.
func (r *Report) payloads(all files, records map[int64]tracedb.Record) (gone []int64) {
	for _, seq := range slices.Sorted(maps.Keys(records)) {
		record := records[seq]
		body, ok := all[namePayload(seq)]
		if !ok {
			gone = append(gone, seq)
			record.Disposed = true
			records[seq] = record
			continue
		}
		if !record.HasPayload(body) {
			r.wrong(namePayload(seq), "isn't the payload of record %d: the entry names another hash", seq)
		}
		record.Payload = body
		records[seq] = record
	}
	return gone
}

// proven says whether nothing is wrong with a record.
func (r *Report) proven(seq int64) bool {
	return !r.isWrong(nameEntry(seq)) && !r.isWrong(namePayload(seq)) && !r.isWrong(nameProof(seq))
}

// signatures checks every attestation against the keys that the keyring held when the log took it, as
// records in the archive prove.
func (r *Report) signatures(records map[int64]tracedb.Record) {
	held := map[string]tracedb.Key{}
	for _, seq := range slices.Sorted(maps.Keys(records)) {
		record := records[seq]
		if key, ok := publicKey(record); ok && r.proven(seq) {
			held[key.Fingerprint] = key
			if key.Retired {
				delete(held, key.Fingerprint)
			}
			continue
		}
		info, _ := record.Kind.Info()
		if len(info.Predicate) == 0 || record.Disposed || !r.proven(seq) {
			continue
		}
		ring, err := attest.KeyringOf(slices.SortedFunc(maps.Values(held), func(a, b tracedb.Key) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) }))
		if err == nil {
			_, err = ring.Verify(record.Kind, record.Payload, record.Time)
		}
		if err != nil {
			r.wrong(namePayload(seq), "no key that the archive proves to have been in the keyring made its signature: %v", err)
			continue
		}
		r.Signatures++
	}
}

// keys checks the copies of the public keys.
func (r *Report) keys(all files, records map[int64]tracedb.Record) {
	for seq, record := range records {
		key, ok := publicKey(record)
		if !ok {
			if _, there := all[nameKey(seq)]; there {
				r.wrong(nameKey(seq), "record %d isn't a key's", seq)
			}
			continue
		}
		if body, there := r.get(all, nameKey(seq)); there && string(body) != key.PEM {
			r.wrong(nameKey(seq), "isn't the key in record %d", seq)
		}
	}
}

// disposals checks that a record in the archive says of every missing payload that it was disposed of.
func (r *Report) disposals(records map[int64]tracedb.Record, gone []int64) {
	for _, seq := range gone {
		by := false
		for _, record := range records {
			var d tracedb.Disposal
			if record.Kind == tracedb.KindDisposal && record.Seq > seq && r.proven(record.Seq) && json.Unmarshal(record.Payload, &d) == nil {
				by = by || d.Kind == records[seq].Kind && slices.Contains(d.Seqs, seq)
			}
		}
		if !by {
			r.wrong(namePayload(seq), "is missing, and no record says that it was disposed of")
			continue
		}
		r.Disposed++
	}
}

// subject checks that the archive is about what it says it is about.
func (r *Report) subject(m manifest, records map[int64]tracedb.Record) {
	for _, record := range records {
		if slices.Contains(record.Refs, m.Subject) || m.Subject == (tracedb.Ref{Type: tracedb.RefRecord, Value: strconv.FormatInt(record.Seq, 10)}) {
			return
		}
	}
	if !r.isWrong(nameManifest) {
		r.wrong(nameManifest, "no record is about %s", m.Subject)
	}
}
