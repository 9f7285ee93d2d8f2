// Package logtest makes real logs for tests: an SQLite file in the test's own folder, with a key of its
// own. It owns nothing that outlives the test, and refuses to be more than a few lines.
package logtest

import (
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb/log"
)

// Origin is the name of the logs that New makes.
const Origin = "druppie.io/trace/test"

// key is one key pair for all logs of a test's process.
var key = sync.OnceValues(func() (string, string) {
	signer, verifier, err := note.GenerateKey(rand.Reader, Origin)
	if err != nil {
		panic(err)
	}
	return signer, verifier
})

// SignerKey is the signing key of the logs that New makes, as note.NewSigner reads it.
func SignerKey() string { signer, _ := key(); return signer }

// VerifierKey is the key that verifies their checkpoints, as note.NewVerifier reads it.
func VerifierKey() string { _, verifier := key(); return verifier }

// Signer signs as the logs that New makes do.
func Signer(t testing.TB) note.Signer {
	t.Helper()
	s, err := note.NewSigner(SignerKey())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Verifier verifies the checkpoints of the logs that New makes.
func Verifier(t testing.TB) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Option changes how New opens its log.
type Option func(*log.Options)

// Now gives the log a clock.
func Now(now func() time.Time) Option { return func(o *log.Options) { o.Now = now } }

// At opens the log in that file, which may be there already.
func At(path string) Option { return func(o *log.Options) { o.DSN = "sqlite:" + path } }

// With changes the options in any other way.
func With(change func(*log.Options)) Option { return change }

// New opens a fresh log that is closed when the test ends.
func New(t testing.TB, options ...Option) *log.Log {
	t.Helper()
	o := log.Options{DSN: "sqlite:" + filepath.Join(t.TempDir(), "trace.db"), Origin: Origin, Signer: Signer(t), Verifier: Verifier(t)}
	for _, option := range options {
		option(&o)
	}
	l, err := log.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close log: %v", err)
		}
	})
	return l
}
