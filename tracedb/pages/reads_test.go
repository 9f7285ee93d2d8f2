package pages

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// TestReadsAreRecorded reads with the real ingester: each read is a record, whatever the reader asked for.
func TestReadsAreRecorded(t *testing.T) {
	w := newWorld(t, story(t)...)
	clock := now
	w.site.o.Ingester = ingest.New(ingest.Options{Log: w.log, Catalog: w.catalog, Now: func() time.Time { return clock }})
	var paths []string
	paths = append(paths, w.paths()...)
	paths = append(paths, hostilePaths(w)...)
	for _, path := range paths {
		clock = clock.Add(2 * time.Minute)
		if got := w.get(auditor, path); got.Code >= http.StatusInternalServerError {
			t.Errorf("%.80s: %d", path, got.Code)
		}
	}
	before := w.log.Size()
	clock = clock.Add(2 * time.Minute)
	for range 3 {
		w.get(auditor, "/service/"+whytest.Repository)
	}
	w.get(tracedb.Identity{}, "/register/"+whytest.Algorithm)
	entries, err := w.log.Range(t.Context(), before, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		payload, err := w.log.Payload(t.Context(), e.Seq)
		if err != nil {
			t.Fatal(err)
		}
		var read tracedb.Read
		if err := json.Unmarshal(payload, &read); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(e.Kind, " by ", e.Actor, ": ", read.What, " ", read.Of))
	}
	if diff := cmp.Diff([]string{"read by gitea:auditor: why repository:" + whytest.Repository}, got); diff != "" {
		t.Error(diff)
	}
}
