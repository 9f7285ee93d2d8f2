package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
)

// FuzzTile looks for a path that is taken for a tile though it isn't one tile's only path.
func FuzzTile(f *testing.F) {
	for _, seed := range [][2]string{{"0", "000"}, {"1", "x001/234.p/5"}, {"63", "999"}, {"0", "000.p/256"}, {"data", "000"}, {"00", "000"}, {"-1", "000"}, {"0", "x000/001"}, {"0", "../0"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, level, index string) {
		tile, err := parseTile(level, index)
		if err != nil {
			if tracedb.AsError(err).Status != http.StatusBadRequest {
				t.Fatalf("%v", err)
			}
			return
		}
		if want := "tile/8/" + level + "/" + index; tile.Path() != want || tile.H != 8 || tile.L < 0 || tile.W < 1 || tile.W > 256 {
			t.Fatalf("%q is read as %+v, which is %s", want, tile, tile.Path())
		}
		if _, err := tlog.ParseTilePath(tile.Path()); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzQuery looks for a search that is taken though it asks for something that can't be, or that says
// something else than what was asked.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"", "kind=image,verdict&limit=2", "ref=commit:x", "from=2020-01-01T00:00:00Z", "limit=-1", "limit=1&limit=2", "actor=%00", "service=a/b", "before=9223372036854775807", "kind=%27", "outcome=passed", ";=;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/records", nil)
		r.URL.RawQuery = raw
		q, err := readQuery(r)
		if err != nil {
			if tracedb.AsError(err).Status != http.StatusBadRequest {
				t.Fatalf("%v", err)
			}
			return
		}
		asked, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("%q can't be read, and was taken", raw)
		}
		if q.Limit < 0 || q.Limit > tracedb.MaxPage || q.Before < 0 || len(q.Refs) > 8 {
			t.Fatalf("%q asks for %+v", raw, q)
		}
		for _, k := range q.Kinds {
			if _, ok := k.Info(); !ok || !strings.Contains(strings.Join(asked["kind"], ","), string(k)) {
				t.Fatalf("%q asks for the kind %q", raw, k)
			}
		}
		for _, ref := range q.Refs {
			if err := ref.Check(); err != nil {
				t.Fatalf("%q asks for %v: %v", raw, ref, err)
			}
		}
		if text := asked.Get("limit"); text != "" && strconv.Itoa(q.Limit) != strings.TrimLeft(text, "0") {
			t.Fatalf("%q asks for %d", raw, q.Limit)
		}
	})
}
