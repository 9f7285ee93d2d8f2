package api

import (
	_ "embed"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
)

//go:embed openapi.yaml
var openAPI []byte

func (s *service) openapi(w http.ResponseWriter, r *http.Request) error {
	return writeBody(w, "application/yaml", "no-cache", openAPI)
}

func (s *service) keys(w http.ResponseWriter, r *http.Request) error {
	keys := []tracedb.Key{}
	if s.Keys != nil {
		keys = append(keys, s.Keys(time.Now())...)
	}
	return answer(w, map[string]any{"origin": s.Log.Origin(), "verifier": s.VerifierKey, "keyring": keys})
}

// checkpoint is GET /checkpoint (C2SP tlog-tiles). It says how large the log is and what its root hash
// is, which gives nothing away that a record says, and is worth the more the more people keep it.
func (s *service) checkpoint(w http.ResponseWriter, r *http.Request) error {
	cp, err := s.Log.Checkpoint(r.Context())
	if err != nil {
		return err
	}
	if cp.Note == nil {
		return tracedb.ErrUnavailable.Says("the log has no key to sign a checkpoint with")
	}
	return writeBody(w, "text/plain; charset=utf-8", "no-cache", cp.Note)
}

// tileHeight is that of C2SP tlog-tiles.
const tileHeight = 8

// tile is GET /tile/<level>/<index>[.p/<width>]: hashes, which are everybody's.
func (s *service) tile(w http.ResponseWriter, r *http.Request) error {
	t, err := parseTile(r.PathValue("level"), r.PathValue("index"))
	if err != nil {
		return err
	}
	data, err := s.Log.Tile(r.Context(), t)
	if err != nil {
		return err
	}
	// A tile's path names its width, so what it holds never changes.
	return writeBody(w, "application/octet-stream", "public, max-age=31536000, immutable", data)
}

// entries is GET /tile/entries/<index>[.p/<width>]: the leaves themselves, which are for auditors. They
// never change either, but a browser that kept them would show them to the next, and unrecorded.
func (s *service) entries(w http.ResponseWriter, r *http.Request) error {
	t, err := parseTile("0", r.PathValue("index"))
	if err != nil {
		return err
	}
	if err := s.recordRead(r, "entries", strconv.FormatInt(t.N, 10)); err != nil {
		return err
	}
	data, err := s.Log.EntryBundle(r.Context(), t.N, t.W)
	if err != nil {
		return err
	}
	return writeBody(w, "application/octet-stream", "", data)
}

// parseTile reads a tile's path as C2SP writes it, which is as tlog does without the height.
func parseTile(level, index string) (tlog.Tile, error) {
	wrong := tracedb.ErrInvalid.At("tile").Says("is no tile's path: tile/<level>/<index>, in groups of three digits that all but the last begin with x")
	if level == "data" || strings.HasPrefix(level, "0") && level != "0" {
		return tlog.Tile{}, wrong
	}
	t, err := tlog.ParseTilePath("tile/" + strconv.Itoa(tileHeight) + "/" + level + "/" + index)
	if err != nil {
		return tlog.Tile{}, wrong
	}
	return t, nil
}
