// Package pages owns what an auditor sees: server-rendered pages, in Dutch and English, light and dark,
// that tell a service's story from idea to container and show the proof. It refuses to show anything but
// the register and the explanation to who isn't an auditor, to load anything from elsewhere, and to
// trust any text that a record holds.
package pages

import (
	"context"
	"net/http"

	"github.com/druppie/druppie-up/tracedb"
)

// Desk records that an auditor read something; *ingest.Desk is one.
type Desk interface {
	Read(ctx context.Context, who tracedb.Identity, read tracedb.Read) error
}

// Options is what the pages need.
type Options struct {
	Reader      tracedb.Reader
	Desk        Desk
	VerifierKey string // of the log's checkpoints, in note's form
	Name        string // of the platform: druppie
}

// New is the handler of all pages, to be mounted at /. It asks auth.From(ctx) who is reading, so it
// stands behind auth's middleware.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotImplemented)
	})
	return mux
}
