package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/register"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// still makes all of the test happen within one minute.
func (w *world) still() {
	now := time.Now()
	w.now = func() time.Time { return now }
}

// reads are what auditors read from that record on, oldest first.
func (w *world) reads(t *testing.T, from int64) (out []string) {
	t.Helper()
	entries, err := w.log.Range(t.Context(), from, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Kind != tracedb.KindRead {
			continue
		}
		raw, err := w.log.Payload(t.Context(), e.Seq)
		if err != nil {
			t.Fatal(err)
		}
		var read tracedb.Read
		if err := json.Unmarshal(raw, &read); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimSuffix(read.What+" "+read.Of, " "))
	}
	return out
}

// TestReadsAreRecorded asks in ways that would hide what is asked for: the record says it all the same,
// and nothing that can't be said is answered.
func TestReadsAreRecorded(t *testing.T) {
	w := newWorld(t)
	w.still()
	kinds, words := strings.Repeat("kind=image&", 60), "x="+strings.Repeat("x", 600)
	for _, tt := range []struct {
		name, path string
		status     int
		want       []string
	}{
		{"behind a filter that is given again", "/v1/records?" + kinds + "ref=repository:druppie/a", 200, []string{"search kind=image&ref=repository%3Adruppie%2Fa"}},
		{"something else behind it", "/v1/records?" + kinds + "ref=repository:druppie/b", 200, []string{"search kind=image&ref=repository%3Adruppie%2Fb"}},
		{"the same in other words", "/v1/records?service=druppie/b&kind=image&repository=druppie/b", 200, nil},
		{"everything at once", "/v1/records?limit=7&before=9&outcome=passed&actor=a%26b&until=2999-01-01T01:00:00%2B01:00&from=2020-01-01T00:00:00Z&kind=verdict,image&ref=commit:" + whytest.Commit + "&repository=druppie/a", 200,
			[]string{"search actor=a%26b&before=9&from=2020-01-01T00%3A00%3A00Z&kind=image%2Cverdict&limit=7&outcome=passed&ref=commit%3A" + whytest.Commit + "&ref=repository%3Adruppie%2Fa&until=2999-01-01T00%3A00%3A00Z"}},
		{"more than can be said", "/v1/records?ref=spec:" + strings.Repeat("a", 200) + "&ref=spec:" + strings.Repeat("b", 200) + "&ref=spec:" + strings.Repeat("c", 200), 400, nil},
		{"a word that isn't known", "/v1/records?" + words, 400, nil},
		{"a page behind words that aren't known", "/verify?a" + words + "&seq=3", 200, []string{"page /verify?seq=3"}},
		{"another page behind them", "/verify?a" + words + "&seq=4", 200, []string{"page /verify?seq=4"}},
		{"a search page behind them", "/search?a" + words + "&kind=&about=+druppie/a", 200, []string{"search /search?about=druppie%2Fa"}},
		{"refusals behind them", "/refusals?a" + words + "&what=door", 200, []string{"page /refusals?what=door"}},
		{"a page of more than can be said", "/search?actor=" + strings.Repeat("a", 490), 400, nil},
		{"the register", "/v1/register", 200, []string{"register"}},
		{"an entry of it", "/v1/register/" + whytest.Algorithm, 200, []string{"register " + whytest.Algorithm}},
		{"its versions", "/v1/register/" + whytest.Algorithm + "/versions", 200, nil},
	} {
		before := w.log.Size()
		if got := w.do(t, request{"GET", tt.path, auditorToken, "", nil}); got.Code != tt.status {
			t.Errorf("%s: %d %.200s", tt.name, got.Code, got.Body)
		}
		if diff := cmp.Diff(tt.want, w.reads(t, before)); diff != "" {
			t.Errorf("%s (-want +recorded):\n%s", tt.name, diff)
		}
	}
}

// TestRegisterForThePublic shows what is personal, and where the code is, to auditors alone.
func TestRegisterForThePublic(t *testing.T) {
	w := newWorld(t)
	type seen struct {
		Repository string
		Owners     []register.Owner
	}
	see := func(a catalog.Algorithm) seen { return seen{a.Repository, a.Document.Owners} }
	a, ok := w.catalog.Algorithm(whytest.Algorithm)
	if !ok || a.Repository == "" || len(a.Document.Owners) == 0 || a.Document.Owners[0].Email == "" {
		t.Fatalf("the story's entry has nothing to hide: %+v", a)
	}
	whole, public := see(a), seen{Owners: []register.Owner{{Organization: a.Document.Owners[0].Organization, Role: a.Document.Owners[0].Role}}}
	for _, tt := range []struct {
		name, token string
		want        seen
	}{
		{"an auditor", auditorToken, whole}, {"the public", "", public}, {"a writer", writerToken, public}, {"a tenant", nobodyToken, public},
	} {
		var one catalog.Algorithm
		var list struct{ Algorithms []catalog.Algorithm }
		var old struct{ Versions []catalog.Version }
		for path, v := range map[string]any{"": &list, "/" + whytest.Algorithm: &one, "/" + whytest.Algorithm + "/versions": &old} {
			resp := w.do(t, request{"GET", "/v1/register" + path, tt.token, "", nil})
			if err := json.Unmarshal(resp.Body.Bytes(), v); resp.Code != http.StatusOK || err != nil {
				t.Fatalf("%d %s: %v", resp.Code, resp.Body, err)
			}
			if resp.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: a cache may keep it for others", path)
			}
		}
		got := map[string]seen{"entry": see(one)}
		for _, a := range list.Algorithms {
			if a.ID == whytest.Algorithm {
				got["list"] = see(a)
			}
		}
		if n := len(old.Versions); n > 0 {
			got["newest version"] = see(old.Versions[n-1].Algorithm)
		}
		if diff := cmp.Diff(map[string]seen{"entry": tt.want, "list": tt.want, "newest version": tt.want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if after, _ := w.catalog.Algorithm(whytest.Algorithm); see(after).Owners[0].Email == "" {
		t.Error("what the public doesn't see is gone from the catalog")
	}
}

// TestLeavesAreNotKept keeps them out of a browser's cache, where the next reader would find them.
func TestLeavesAreNotKept(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{"/tile/entries/000.p/5": "no-store", "/tile/0/000.p/5": "public, max-age=31536000, immutable"} {
		if got := w.do(t, request{"GET", path, auditorToken, "", nil}).Header().Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q, want %q", path, got, want)
		}
	}
}

// TestTooManyIsARefusal lets a writer send more than is taken at once, which is recorded like other
// refusals.
func TestTooManyIsARefusal(t *testing.T) {
	w := newWorld(t)
	before := w.log.Size()
	for _, n := range []int{501, 5000} {
		resp := w.do(t, request{"POST", "/v1/records", writerToken, `{"records":[` + strings.Repeat(`{},`, n-1) + `{}]}`, nil})
		if e, err := readError(resp.Body.Bytes()); err != nil || e.Code != tracedb.ErrTooLarge.Code || e.Field != "records" {
			t.Fatalf("%d records: %d %s", n, resp.Code, resp.Body)
		}
	}
	entries, err := w.log.Range(t.Context(), before, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, string(e.Kind)+" of "+e.Actor)
	}
	if diff := cmp.Diff([]string{"refusal of " + writerName, "refusal of " + writerName}, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}
