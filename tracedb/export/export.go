// Package export writes a chain as one archive that can be read and checked years later without the
// service, and checks such archives. It owns the archive's format; it refuses to believe anything an
// archive says about itself that the log's key, given by whoever checks, doesn't prove.
package export

import (
	"context"
	"io"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
)

// Report says what was found in an archive, file by file.
type Report struct {
	OK         bool        `json:"ok"`
	Subject    tracedb.Ref `json:"subject"`
	Origin     string      `json:"origin"` // of the log
	Size       int64       `json:"size"`   // of the tree at the archive's checkpoint
	Records    int         `json:"records"`
	Disposed   int         `json:"disposed"`
	Signatures int         `json:"signatures"` // attestations whose signature was checked
	Files      []File      `json:"files"`
}

// File is what was found about one file of the archive.
type File struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// Write writes the chain with everything that proves it as a zip. The same chain over the same log
// gives the same bytes.
func Write(ctx context.Context, w io.Writer, r tracedb.Reader, c *why.Chain) error {
	return tracedb.ErrUnavailable
}

// Verify checks an archive with nothing but the log's verifier key. What is wrong with the archive is
// in the report; the error is for what kept Verify from looking.
func Verify(r io.ReaderAt, size int64, verifierKey string) (*Report, error) {
	return nil, tracedb.ErrUnavailable
}
