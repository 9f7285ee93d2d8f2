// Package export writes a chain as one archive that can be read and checked years later without the
// service, and checks such archives. It owns the archive's format; it refuses to believe anything an
// archive says about itself that the log's key, given by the verifier, doesn't prove.
//
// An archive is a zip with nothing compressed and nothing optional, so that the same chain over the
// same log always gives the same bytes, and a changed byte has no place to hide:
//
//	README.txt           what this is and how to check it, also by hand
//	checkpoint           the log's signed tree head
//	entries/<seq>.json   the record's bytes as the tree hashes them
//	keys/<seq>.pem       the public key in that record of kind key
//	manifest.json        the subject, and every file with its size and hash
//	payloads/<seq>.json  the record's payload, unless it was disposed of
//	proofs/<seq>.json    that the record is in the checkpoint's tree
//	report.html          the chain for people
package export

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

// Format names the archive's form.
const Format = "druppie.io/trace/export/v1"

// Texts counts the wordings of README.txt and report.html. Both are checked by writing them anew from
// the records, so whoever changes how records are described, or these files, counts one up.
const Texts = 3

// Bounds of an archive, in bytes and files. What is larger isn't written and isn't read.
const (
	MaxSize    = 64 << 20
	MaxRecords = 1000
	maxText    = 16 << 20 // README.txt, report.html, manifest.json
	maxNote    = 64 << 10 // checkpoint
)

// The files of an archive.
const (
	nameReadme     = "README.txt"
	nameCheckpoint = "checkpoint"
	nameManifest   = "manifest.json"
	nameReport     = "report.html"
)

func nameEntry(seq int64) string   { return "entries/" + strconv.FormatInt(seq, 10) + ".json" }
func nameKey(seq int64) string     { return "keys/" + strconv.FormatInt(seq, 10) + ".pem" }
func namePayload(seq int64) string { return "payloads/" + strconv.FormatInt(seq, 10) + ".json" }
func nameProof(seq int64) string   { return "proofs/" + strconv.FormatInt(seq, 10) + ".json" }

// manifest says what is in the archive. It proves nothing; it must agree with what is proven.
type manifest struct {
	Format    string      `json:"format"`
	Texts     int         `json:"texts"`
	Subject   tracedb.Ref `json:"subject"`
	Truncated bool        `json:"truncated"` // the log holds more about the subject than was looked at
	Records   []int64     `json:"records"`
	Files     []listed    `json:"files"` // all but the manifest
}

type listed struct {
	Name   string `json:"name"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

// files are an archive's, by name.
type files map[string][]byte

// maxRetries is how often a chain is read again when payloads of it are disposed of meanwhile: each kind's are
// at a time of their own.
const maxRetries = 5

// Write writes the chain with everything that proves it. The same chain over the same log gives the
// same bytes. A chain that doesn't fit the bounds is tracedb.ErrTooLarge. If a payload was disposed of
// since the chain was read, it is read again, with the record that says so.
func Write(ctx context.Context, w io.Writer, r tracedb.Reader, c *why.Chain) error {
	err := write(ctx, w, r, c)
	for n := 0; n < maxRetries && errors.Is(err, tracedb.ErrDisposed); n++ {
		if c, err = why.Ask(ctx, r, c.Subject, why.Options{}); err == nil {
			err = write(ctx, w, r, c)
		}
	}
	return err
}

func write(ctx context.Context, w io.Writer, r tracedb.Reader, c *why.Chain) error {
	all := files{nameCheckpoint: []byte(c.Checkpoint)}
	if len(c.Links) > MaxRecords {
		return tooLarge()
	}
	var records []tracedb.Record
	size := 0
	for _, l := range c.Links {
		record := tracedb.Record{Entry: l.Entry, Disposed: l.Disposed}
		if !l.Disposed {
			if size += l.Size; size > MaxSize {
				return tooLarge()
			}
			body, err := r.Payload(ctx, l.Seq)
			if err != nil {
				return fmt.Errorf("read payload %d: %w", l.Seq, err)
			}
			record.Payload = body
			all[namePayload(l.Seq)] = body
		}
		proof, err := r.Prove(ctx, l.Seq, c.Size)
		if err != nil {
			return fmt.Errorf("prove record %d: %w", l.Seq, err)
		}
		all[nameEntry(l.Seq)] = l.Leaf()
		all[nameProof(l.Seq)] = encode(proof)
		if key, ok := publicKey(record); ok {
			all[nameKey(l.Seq)] = []byte(key.PEM)
		}
		records = append(records, record)
	}
	if err := finish(all, c.Subject, records, c.Checkpoint, c.Truncated); err != nil {
		return err
	}
	packed, err := pack(all)
	if err != nil {
		return err
	}
	if len(packed) > MaxSize {
		return tooLarge()
	}
	if _, err := w.Write(packed); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}

func tooLarge() error {
	return tracedb.ErrTooLarge.Says("the archive would have more than %d records or %d MiB", MaxRecords, MaxSize>>20).
		WithHint("export something narrower: one image or one commit")
}

// publicKey is the key in a record of kind key.
func publicKey(r tracedb.Record) (tracedb.Key, bool) {
	var k tracedb.Key
	ok := r.Kind == tracedb.KindKey && json.Unmarshal(r.Payload, &k) == nil && k.PEM != ""
	return k, ok
}

// finish adds the files that follow from the others.
func finish(all files, subject tracedb.Ref, records []tracedb.Record, checkpoint string, truncated bool) error {
	slices.SortFunc(records, func(a, b tracedb.Record) int { return int(a.Seq - b.Seq) })
	chain := why.NewChain(subject, records)
	chain.Checkpoint, chain.Truncated = checkpoint, truncated
	var err error
	if all[nameReport], err = render(reportTemplate, chain); err != nil {
		return err
	}
	if all[nameReadme], err = render(readmeTemplate, chain); err != nil {
		return err
	}
	var seqs []int64
	for _, r := range records {
		seqs = append(seqs, r.Seq)
	}
	all[nameManifest] = encode(newManifest(all, subject, seqs, truncated))
	return nil
}

// newManifest lists the files but the manifest itself; records are in the log's order.
func newManifest(all files, subject tracedb.Ref, records []int64, truncated bool) manifest {
	m := manifest{Format: Format, Texts: Texts, Subject: subject, Truncated: truncated, Records: append([]int64{}, records...), Files: []listed{}}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == nameManifest {
			continue
		}
		m.Files = append(m.Files, listed{name, len(all[name]), fmt.Sprintf("%x", sha256.Sum256(all[name]))})
	}
	return m
}

// encode is the one JSON form that our own files have.
func encode(v any) []byte {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		// Texts, numbers and lists always encode.
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return append(raw, '\n')
}
