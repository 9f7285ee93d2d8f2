package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"

	"github.com/druppie/druppie-up/tracedb"
)

//go:embed static
var staticFiles embed.FS

// assets are the style, the script and the pictures, each under a name that holds its hash: what a
// browser kept is never another version's.
type assets struct {
	paths map[string]string // app.css -> /static/<hash>/app.css
	files map[string][]byte // by that path
}

func readAssets() (*assets, error) {
	a := &assets{paths: map[string]string{}, files: map[string][]byte{}}
	names, err := fs.Glob(staticFiles, "static/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		raw, err := staticFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		base := path.Base(name)
		a.paths[base] = "/static/" + hex.EncodeToString(sum[:6]) + "/" + base
		a.files[a.paths[base]] = raw
	}
	return a, nil
}

// path is where a file is served.
func (a *assets) path(name string) (string, error) {
	p, ok := a.paths[name]
	if !ok {
		return "", fmt.Errorf("no file %s", name)
	}
	return p, nil
}

func (s *Site) static(w http.ResponseWriter, r *http.Request) {
	raw, ok := s.assets.files[r.URL.Path]
	if !ok {
		s.fail(w, r, tracedb.ErrNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	// A reader who left needs no file.
	_, _ = w.Write(raw)
}
