package api

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// TestSubjects asks the real service about subjects whose slashes would make another path.
func TestSubjects(t *testing.T) {
	w := newWorld(t)
	c := w.client(w.serve(t, w.api), auditorToken)
	const address = "https://gitea.example/" + whytest.Repository
	for _, subject := range []string{address, address + ".git", whytest.Repository, "repository:" + whytest.Repository} {
		chain, err := c.Why(t.Context(), subject, why.Options{})
		if err != nil || chain.Repository != whytest.Repository {
			t.Errorf("%s: %+v, %v", subject, chain, err)
		}
		if err := c.Export(t.Context(), subject, io.Discard); err != nil {
			t.Errorf("export of %s: %v", subject, err)
		}
	}
	// What the log doesn't know was understood all the same, to the last dot.
	for _, subject := range []string{"spec:a/../b", "spec:https://issues/1", "session:a/./b", "spec:a/"} {
		_, err := c.Why(t.Context(), subject, why.Options{})
		if e := tracedb.AsError(err); e.Code != tracedb.ErrNotFound.Code || !strings.HasSuffix(e.Message, "about "+subject) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	// As any other program asks.
	escaped := strings.NewReplacer(":", "%3A", "/", "%2F").Replace(address)
	if got := w.do(t, request{"GET", "/v1/why/" + escaped, auditorToken, "", nil}); got.Code != http.StatusOK {
		t.Errorf("%s: %d %s", escaped, got.Code, got.Body)
	}
}
