package review

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"code.gitea.io/sdk/gitea"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/utils/diff"
	"github.com/sergi/go-diff/diffmatchpatch"

	"github.com/druppie/druppie-up/cmd/foundry/internal/source"
)

// files are those of a commit, by path.
type files map[string]entry

// entry is what a path holds; zero: nothing.
type entry struct {
	mode filemode.FileMode
	hash plumbing.Hash
}

func read(c *object.Commit) (files, error) {
	out := files{}
	err := source.Walk(c, func(path string, _ *object.Tree, e object.TreeEntry) error {
		out[path] = entry{e.Mode, e.Hash}
		return nil
	})
	return out, err
}

// differences are the paths at which two sets of files differ.
func differences(a, b files) []string {
	var out []string
	for path := range a {
		if a[path] != b[path] {
			out = append(out, path)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			out = append(out, path)
		}
	}
	slices.Sort(out)
	return out
}

// isMerge says whether a file is, after a merge, what it was before it with the change from base to reviewed.
func (r Reviews) isMerge(ctx context.Context, base, reviewed, before, after entry) (bool, error) {
	switch {
	case reviewed == base:
		return after == before, nil
	case before == base, reviewed == before:
		return after == reviewed, nil
	case reviewed.mode != before.mode || after.mode != before.mode:
		return false, nil
	}
	var texts [4]string
	for i, e := range []entry{base, reviewed, before, after} {
		if !e.mode.IsFile() {
			return false, nil
		}
		text, err := r.content(ctx, e.hash)
		if err != nil {
			return false, err
		}
		texts[i] = text
	}
	merged, ok := mergeTexts(texts[0], texts[1], texts[2])
	return ok && merged == texts[3], nil
}

// maxText is how large a file may be that is merged line by line.
const maxText = 1 << 20

// content asks Gitea for what is in a file.
func (r Reviews) content(ctx context.Context, hash plumbing.Hash) (string, error) {
	var blob gitea.GitBlobResponse
	if err := r.Gitea.Call(ctx, http.MethodGet, fmt.Sprintf("/repos/%s/git/blobs/%s", r.Repository, hash), nil, &blob); err != nil {
		return "", fmt.Errorf("what is in it: %w", err)
	}
	if blob.Size > maxText {
		return "", fmt.Errorf("it was changed on both sides, and is larger than %d bytes", maxText)
	}
	text, err := base64.StdEncoding.DecodeString(blob.Content)
	if err != nil {
		return "", fmt.Errorf("what is in it: %w", err)
	}
	// Its hash is what was compared.
	if plumbing.ComputeHash(plumbing.BlobObject, text) != hash {
		return "", fmt.Errorf("Gitea gave something else than blob %s", hash)
	}
	return string(text), nil
}

// mergeTexts gives a text with what each of two others changed of it, by whole lines; false where both changed the
// same ones.
func mergeTexts(base, ours, theirs string) (string, bool) {
	all := append(edits(base, ours), edits(base, theirs)...)
	slices.SortFunc(all, func(a, b edit) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return a.to - b.to
	})
	all = slices.Compact(all) // both may have made the same change
	var out strings.Builder
	at := 0
	for i, e := range all {
		if e.from < at || i > 0 && e.from == all[i-1].from {
			return "", false
		}
		out.WriteString(base[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.WriteString(base[at:])
	return out.String(), true
}

// edit puts a text in the place of some lines, by their bytes.
type edit struct {
	from, to int
	text     string
}

// edits make one text of another.
func edits(base, other string) []edit {
	var out []edit
	at := 0
	for _, d := range diff.Do(base, other) {
		if d.Type != diffmatchpatch.DiffEqual && (len(out) == 0 || out[len(out)-1].to != at) {
			out = append(out, edit{from: at, to: at})
		}
		switch d.Type {
		case diffmatchpatch.DiffDelete:
			out[len(out)-1].to += len(d.Text)
			at += len(d.Text)
		case diffmatchpatch.DiffInsert:
			out[len(out)-1].text += d.Text
		case diffmatchpatch.DiffEqual:
			at += len(d.Text)
		}
	}
	return out
}
