package export

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"regexp"
	"slices"

	"github.com/druppie/druppie-up/tracedb"
)

// pack writes the files as a zip that has one form only: sorted, stored as they are, without times,
// comments or extras.
func pack(all files) ([]byte, error) {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		body := all[name]
		h := &zip.FileHeader{
			Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(body),
			CompressedSize64: uint64(len(body)), UncompressedSize64: uint64(len(body)),
			CreatorVersion: 20, ReaderVersion: 20,
			ModifiedDate: 1<<5 | 1, // 1 January 1980, where the format's time begins
		}
		h.SetMode(0o644)
		f, err := z.CreateRaw(h)
		if err == nil {
			_, err = f.Write(body)
		}
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

// The names that an archive may have. Nothing that could lead out of a folder is among them.
var shape = regexp.MustCompile(`^(?:README\.txt|checkpoint|manifest\.json|report\.html|(?:entries|payloads|proofs)/(?:0|[1-9][0-9]{0,17})\.json|keys/(?:0|[1-9][0-9]{0,17})\.pem)$`)

// limit is the most bytes that a file of that name may have.
func limit(name string) uint64 {
	switch {
	case name == nameCheckpoint:
		return maxNote
	case name == nameReadme, name == nameReport, name == nameManifest:
		return maxText
	case bytes.HasPrefix([]byte(name), []byte("payloads/")):
		return tracedb.MaxPayload
	}
	return tracedb.MaxLeaf
}

// unpack reads the files of an archive, and names those that can't be read or don't belong. Sizes are
// checked before anything is read, and nothing is ever unpacked to disk.
func unpack(archive []byte, r *Report) files {
	all := files{}
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		r.wrong(nameArchive, "isn't a zip that can be read: %v", err)
		return all
	}
	if len(z.File) > 4*MaxRecords+4 {
		r.wrong(nameArchive, "has %d files, more than any export", len(z.File))
		return all
	}
	for _, f := range z.File {
		name := f.Name
		switch {
		case !shape.MatchString(name):
			r.wrong(shown(name), "doesn't belong in an export")
			continue
		case f.Method != zip.Store:
			r.wrong(name, "is compressed, which no export is")
			continue
		case f.UncompressedSize64 > limit(name) || f.UncompressedSize64 != f.CompressedSize64:
			r.wrong(name, "claims %d bytes, at most %d are read", f.UncompressedSize64, limit(name))
			continue
		}
		if _, twice := all[name]; twice {
			r.wrong(name, "is there twice")
			continue
		}
		body, err := contents(f)
		if err != nil {
			r.wrong(name, "can't be read: %v", err)
		}
		// What could be read is checked all the same, so that the other files are checked against it.
		all[name] = body
	}
	return all
}

func contents(f *zip.File) ([]byte, error) {
	open, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer open.Close()
	body, err := io.ReadAll(io.LimitReader(open, int64(limit(f.Name))+1))
	if err != nil {
		return body, err
	}
	if uint64(len(body)) > limit(f.Name) {
		return nil, fmt.Errorf("more than %d bytes", limit(f.Name))
	}
	return body, nil
}

// repacked holds the archive against what its files make when they are packed anew. A byte that
// differs lies between the files' contents: in a header, a time, a comment, or after the end.
func repacked(archive []byte, all files, r *Report) {
	again, err := pack(all)
	if err != nil {
		r.wrong(nameArchive, "%v", err)
		return
	}
	if bytes.Equal(again, archive) {
		return
	}
	at := 0
	for at < len(again) && at < len(archive) && again[at] == archive[at] {
		at++
	}
	r.wrong(nameArchive, "isn't packed as an export is, from byte %d on%s", at, near(again, at))
}

// near names the file whose header the byte belongs to.
func near(archive []byte, at int) string {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return ""
	}
	name := ""
	for _, f := range z.File {
		start, err := f.DataOffset()
		if err != nil {
			return ""
		}
		if head := start - int64(30+len(f.Name)); int64(at) >= head {
			name = f.Name
		}
		if end := start + int64(f.CompressedSize64); f == z.File[len(z.File)-1] && int64(at) >= end {
			return ", in the list of files at its end"
		}
	}
	return ", in the header of " + name
}

// shown is a name that may be anything as a report can show it.
func shown(name string) string {
	return fmt.Sprintf("%.100q", name)
}
