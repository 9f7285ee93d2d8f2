package export

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// derived writes the files that only repeat the others anew, and compares.
func (r *Report) derived(all files, m manifest, records map[int64]tracedb.Record) {
	for _, name := range []string{nameReadme, nameReport} {
		r.get(all, name)
	}
	if m.Texts != Texts {
		r.otherTexts(all, m, records)
		return
	}
	again := maps.Clone(all)
	if err := finish(again, m.Subject, slices.Collect(maps.Values(records)), string(all[nameCheckpoint]), m.Truncated); err != nil {
		r.wrong(nameArchive, "%v", err)
		return
	}
	wrong := len(r.Files) > 0
	for _, name := range []string{nameReadme, nameReport} {
		if body, ok := all[name]; !ok || bytes.Equal(body, again[name]) {
			continue
		}
		if wrong {
			r.wrong(name, "doesn't say what the records say, of which some are wrong")
		} else {
			r.wrong(name, "doesn't say what the records say: somebody changed it")
		}
	}
	r.listing(all, again[nameManifest])
}

// otherTexts is derived of an archive that another version of this program worded: what it says to people can't be
// written anew, and what it lists can.
func (r *Report) otherTexts(all files, m manifest, records map[int64]tracedb.Record) {
	if m.Texts < 1 || m.Texts > Texts {
		r.wrong(nameManifest, "says that its words are of texts %d, and this version knows them up to %d: use a newer one", m.Texts, Texts)
		return
	}
	if form := fmt.Sprintf("Format %s, texts %d.", Format, m.Texts); !bytes.Contains(all[nameReadme], []byte(form)) {
		r.wrong(nameManifest, "says that the words are of texts %d, and %s doesn't", m.Texts, nameReadme)
		return
	}
	r.NotCompared = []string{nameReadme, nameReport}
	again := newManifest(all, m.Subject, slices.Sorted(maps.Keys(records)), m.Truncated)
	again.Texts = m.Texts
	r.listing(all, encode(again))
}

// listing compares the manifest with one that was written anew.
func (r *Report) listing(all files, again []byte) {
	if body, ok := all[nameManifest]; ok && !bytes.Equal(body, again) && !r.isWrong(nameManifest) {
		r.wrong(nameManifest, "doesn't list the files as they are")
	}
}
