package ingest

import (
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
)

// An entry that describes what the AI Act prohibits is never built, but it is taken: what was built
// before is refused at admission from then on.
func TestProhibited(t *testing.T) {
	b := newBench(t)
	drafts := b.good(t, b.incident(t))
	b.take(t, drafts[tracedb.KindProvenance], drafts[tracedb.KindRegister])
	question := catalog.Request{Namespace: "drones", Images: []string{"registry/drone@" + digest}, Algorithm: algorithm}
	if d := b.o.Catalog.Decide(question); !d.Allowed {
		t.Fatalf("before: %+v", d)
	}
	entry := drafts[tracedb.KindRegister]
	change := func(id, risk, more string) tracedb.Draft {
		entry.ID = id
		entry.Payload = raw(t, tracedb.RegisterEntry{Repository: "druppie/drone", Commit: sha, Source: strings.Replace(source, "type: niet-impactvol algoritme", "type: AI-systeem\n  risk_group: "+risk, 1) + more})
		return entry
	}
	// It is no way to register what is wrong otherwise.
	if _, err := b.Append(t.Context(), writer(), []tracedb.Draft{change("worse", "verboden AI", "wings: 2\n")}); code(err) != "invalid_record" {
		t.Errorf("an entry with another fault: %v", err)
	}
	b.take(t, change("prohibited", "verboden AI", ""))
	if d := b.o.Catalog.Decide(question); d.Allowed || !strings.Contains(d.Reason, "verboden AI") {
		t.Errorf("after: %+v", d)
	}
}
