package receive

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestMain is the hook, when a repository of the tests calls it: the installed copy is this test.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "pre-receive" && os.Args[2] == "--max-entries" {
		most, err := strconv.ParseInt(os.Args[3], 10, 64)
		if err := errors.Join(err, Check(context.Background(), os.Environ(), most)); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// repositories are a bare one with the hook, as Gitea has it, and one to push from.
type repositories struct {
	t         *testing.T
	bare, own string
}

func newRepositories(t *testing.T) repositories {
	t.Helper()
	dir := t.TempDir()
	r := repositories{t, filepath.Join(dir, "all", "drones", "service.git"), filepath.Join(dir, "own")}
	r.git("init", "-q", "--bare", r.bare)
	r.git("init", "-q", "-b", "main", r.own)
	// Gitea's own hook runs what stands in the folder.
	run := "#!/bin/sh\ndata=$(cat)\nfor hook in ./hooks/pre-receive.d/*; do echo \"$data\" | $hook || exit $?; done\n"
	if err := os.WriteFile(filepath.Join(r.bare, "hooks", "pre-receive"), []byte(run), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again is the same
		if err := Install(filepath.Join(dir, "all"), filepath.Join(dir, "foundry"), MaxEntries); err != nil {
			t.Fatal(err)
		}
	}
	// New repositories get it from the template.
	r.git("-c", "init.templateDir="+filepath.Join(dir, "foundry", "template"), "init", "-q", "--bare", filepath.Join(dir, "later.git"))
	for _, repo := range []string{r.bare, filepath.Join(dir, "later.git")} {
		if info, err := os.Stat(filepath.Join(repo, hooks, hook)); err != nil || info.Mode().Perm() != 0o755 {
			t.Fatalf("the hook of %s: %v, %v", repo, info, err)
		}
	}
	return r
}

func (r repositories) git(args ...string) string {
	r.t.Helper()
	return r.in(nil, args...)
}

func (r repositories) in(stdin []byte, args ...string) string {
	r.t.Helper()
	out, err := r.try(stdin, args...)
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(out, "\n")
}

func (r repositories) try(stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	if _, err := os.Stat(r.own); err == nil {
		cmd.Dir = r.own
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@x", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@x")
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tree makes a folder of lines as `git ls-tree` prints them.
func (r repositories) tree(lines ...string) string {
	return r.in([]byte(strings.Join(lines, "\n")+"\n"), "mktree")
}

// nested holds one file: levels of folders, of so many names for the same folder each.
func (r repositories) nested(levels, width int, name string) string {
	blob := r.in([]byte("x"), "hash-object", "-w", "--stdin")
	tree := r.tree("100644 blob " + blob + "\tfile")
	for range levels {
		var lines []string
		for i := range width {
			lines = append(lines, fmt.Sprintf("040000 tree %s\t%s%d", tree, name, i))
		}
		tree = r.tree(lines...)
	}
	return tree
}

func (r repositories) commit(tree string, parents ...string) string {
	args := []string{"commit-tree", tree, "-m", "m"}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	return r.git(args...)
}

// TestPush: what can be listed comes in, what can't stays out, wherever in the push it hides.
func TestPush(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(r repositories) (object, ref string)
		want string // part of the refusal; empty: it comes in
	}{
		{"an ordinary one", func(r repositories) (string, string) { return r.commit(r.nested(3, 3, "d")), "refs/heads/main" }, ""},
		{"as many files as fit", func(r repositories) (string, string) { return r.commit(r.nested(4, 12, "d")), "refs/heads/main" }, ""},
		{"folders that hold each other", func(r repositories) (string, string) { return r.commit(r.nested(10, 10, "d")), "refs/heads/main" },
			"more than 50000 files and folders"},
		{"on another branch", func(r repositories) (string, string) { return r.commit(r.nested(10, 10, "d")), "refs/heads/other" },
			"more than 50000 files and folders"},
		{"that came and went", func(r repositories) (string, string) {
			return r.commit(r.nested(1, 1, "d"), r.commit(r.nested(10, 10, "d"))), "refs/heads/main"
		}, "more than 50000 files and folders"},
		{"without files", func(r repositories) (string, string) {
			tree := r.in(nil, "mktree")
			for range 10 {
				var lines []string
				for i := range 10 {
					lines = append(lines, fmt.Sprintf("040000 tree %s\td%d", tree, i))
				}
				tree = r.tree(lines...)
			}
			return r.commit(tree), "refs/heads/main"
		}, "more than 50000 files and folders"},
		{"a tag of a folder", func(r repositories) (string, string) {
			r.git("tag", "-a", "-m", "m", "bomb", r.nested(10, 10, "d"))
			return "refs/tags/bomb", "refs/tags/bomb"
		}, "more than 50000 files and folders"},
		{"too deep", func(r repositories) (string, string) { return r.commit(r.nested(70, 1, "d")), "refs/heads/main" }, "folders stand in each other"},
		{"long paths", func(r repositories) (string, string) {
			return r.commit(r.nested(9, 3, strings.Repeat("n", 250))), "refs/heads/main"
		}, "paths"},
		{"a long name", func(r repositories) (string, string) {
			return r.commit(r.nested(1, 1, strings.Repeat("n", 300))), "refs/heads/main"
		}, "a name has more than 255 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepositories(t)
			object, ref := tt.make(r)
			out, err := r.try(nil, "push", r.bare, object+":"+ref)
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %s", out)
				}
				return
			}
			if err == nil || !strings.Contains(out, ErrTooLarge.Error()) || !strings.Contains(out, tt.want) {
				t.Errorf("%v: %s, want %q", err, out, tt.want)
			}
		})
	}
}

// TestPushOfPacks: nothing in a pack is overlooked, also what no branch leads to, and what is only partly new.
func TestPushOfPacks(t *testing.T) {
	r := newRepositories(t)
	base := r.commit(r.nested(4, 12, "d"))
	r.git("push", "-q", r.bare, base+":refs/heads/main")
	known := r.git("rev-parse", base+"^{tree}")
	r.git("push", "-q", r.bare, r.commit(r.tree("040000 tree "+r.nested(1, 1, "e")+"\tsmall"), base)+":refs/heads/small")
	// Twice what is there already is one new object.
	if out, err := r.try(nil, "push", r.bare, r.commit(r.tree("040000 tree "+known+"\ta", "040000 tree "+known+"\tb"), base)+":refs/heads/main"); err == nil {
		t.Errorf("what is there already twice over: %s", out)
	}
	if out, err := r.try(nil, "push", r.bare, ":refs/heads/small"); err != nil {
		t.Errorf("a branch can't be deleted: %s", out)
	}
	// A pack with a folder that no commit has, as no git would send it.
	var objects []string
	for line := range strings.Lines(r.git("rev-list", "--objects", r.nested(10, 10, "f"))) {
		objects = append(objects, strings.Fields(line)[0])
	}
	commit := r.commit(r.nested(1, 1, "g"), base)
	for line := range strings.Lines(r.git("rev-list", "--objects", commit, "^"+base)) {
		objects = append(objects, strings.Fields(line)[0])
	}
	pack := r.in([]byte(strings.Join(objects, "\n")+"\n"), "pack-objects", "-q", "--stdout")
	refs := fmt.Sprintf("%s %s refs/heads/main\x00 report-status", base, commit)
	out, err := r.try(fmt.Appendf(nil, "%04x%s0000%s\n", len(refs)+4, refs, pack), "receive-pack", r.bare)
	if err != nil || !strings.Contains(out, "more than 50000 files and folders") || !strings.Contains(out, "pre-receive hook declined") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := r.try(nil, "--git-dir", r.bare, "rev-parse", "refs/heads/main"); err != nil || strings.TrimSpace(out) != base {
		t.Errorf("main is at %s (%v), want %s", out, err, base)
	}
}

// TestPushOfWhatIsThere: what came into the repository before there was a hook comes in no second time, by whatever name.
func TestPushOfWhatIsThere(t *testing.T) {
	r := newRepositories(t)
	base := r.commit(r.nested(1, 1, "d"))
	bomb := r.nested(10, 10, "d")
	r.git("-c", "core.hooksPath=/dev/null", "push", "-q", r.bare, base+":refs/heads/main")
	var objects []string
	for line := range strings.Lines(r.git("rev-list", "--objects", bomb)) {
		objects = append(objects, strings.Fields(line)[0])
	}
	pack := r.in([]byte(strings.Join(objects, "\n")+"\n"), "pack-objects", "-q", "--stdout")
	r.in([]byte(pack+"\n"), "--git-dir", r.bare, "unpack-objects", "-q")
	r.git("tag", "-a", "-m", "m", "bomb", bomb)
	for object, ref := range map[string]string{r.commit(bomb, base): "refs/heads/main", "refs/tags/bomb": "refs/tags/bomb"} {
		if out, err := r.try(nil, "push", r.bare, object+":"+ref); err == nil || !strings.Contains(out, "more than 50000 files and folders") {
			t.Errorf("%s: %v: %s", ref, err, out)
		}
	}
}

// TestPushOfOddObjects makes objects as git itself makes none.
func TestPushOfOddObjects(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	for name, tt := range map[string]struct {
		kind string
		data func(r repositories) string
		want string
	}{
		"a folder's mode as others write it": {tree, func(r repositories) string { return r.nest("40755") }, "more than 50000 files and folders"},
		"another":                            {tree, func(r repositories) string { return r.nest("040644") }, "more than 50000 files and folders"},
		"a mode of more bits":                {tree, func(r repositories) string { return r.nest("7040000") }, "a mode isn't Git's"},
		"a mode that is none":                {tree, func(r repositories) string { return r.nest("000000") }, "a mode isn't Git's"},
		"a file for a folder": {tree, func(r repositories) string {
			blob := r.in([]byte(strings.Repeat("y", 1<<20)), "hash-object", "-w", "--stdin")
			return "40000 d\x00" + string(unhex(t, blob))
		}, "is a blob, and said to be a tree"},
		"a list that is too long": {tree, func(repositories) string { return "100644 " + strings.Repeat(long, 3) }, "takes more than 4 MiB"},
		"a commit that is too long": {commit, func(r repositories) string {
			return "tree " + r.nested(0, 0, "") + "\nauthor a <a@x> 0 +0000\ncommitter a <a@x> 0 +0000\n\n" + long
		}, "takes more than 64 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepositories(t)
			object := r.in([]byte(tt.data(r)), "hash-object", "-t", tt.kind, "-w", "--stdin", "--literally")
			// Into a pack by its hash alone: git would walk into what it can't read.
			all := r.in(nil, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
			out, err := r.receive(all, r.commit(r.nested(1, 1, "d")), object)
			if err != nil || !strings.Contains(out, tt.want) || !strings.Contains(out, "pre-receive hook declined") {
				t.Errorf("%v: %s, want %q", err, out, tt.want)
			}
		})
	}
}

// receive has the repository take a pack with all these objects, one to a line, and a commit that becomes main.
func (r repositories) receive(objects, commit, more string) (string, error) {
	r.t.Helper()
	for line := range strings.Lines(r.git("rev-list", "--objects", commit)) {
		objects += "\n" + strings.Fields(line)[0]
	}
	pack := r.in([]byte(objects+"\n"+more+"\n"), "pack-objects", "-q", "--stdout")
	refs := fmt.Sprintf("%040d %s refs/heads/main\x00 report-status", 0, commit)
	return r.try(fmt.Appendf(nil, "%04x%s0000%s\n", len(refs)+4, refs, pack), "receive-pack", r.bare)
}

// nest is ten levels of ten folders with that mode, but for the outermost, which is given as it stands in an object.
func (r repositories) nest(mode string) string {
	blob := r.in([]byte("x"), "hash-object", "-w", "--stdin")
	list := "100644 file\x00" + string(unhex(r.t, blob))
	for range 10 {
		hash := unhex(r.t, r.in([]byte(list), "hash-object", "-t", tree, "-w", "--stdin", "--literally"))
		list = ""
		for i := range 10 {
			list += fmt.Sprintf("%s d%d\x00%s", mode, i, hash)
		}
	}
	return list
}

func unhex(t *testing.T, hash string) []byte {
	t.Helper()
	data, err := hex.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFatFolders: folders in each other, each with a long list of its own, are refused before they are all in memory.
func TestFatFolders(t *testing.T) {
	reads := 0
	l := lister{maxEntries: MaxEntries, known: map[string]size{}, read: func(hash, _ string) ([]byte, error) {
		reads++
		entry := "40000 d\x00" + strings.Repeat("\x00", 19) + string(rune(reads))
		return []byte(strings.Repeat(entry, MaxEntries/10)), nil
	}}
	if _, err := l.size(strings.Repeat("f", 40), 1, 0); !errors.Is(err, ErrTooLarge) || reads > 11 {
		t.Errorf("%v after %d folders", err, reads)
	}
}

// TestPushOfLongHistory: commits that are small each are too much together, since Gitea compares with all of them.
func TestPushOfLongHistory(t *testing.T) {
	r := newRepositories(t)
	var history strings.Builder
	const message = 60 << 10
	for n := range maxTexts/message + 1 {
		fmt.Fprintf(&history, "commit refs/heads/long\ncommitter a <a@x> %d +0000\ndata %d\n%s\n", n, message, strings.Repeat("m", message))
	}
	r.in([]byte(history.String()), "fast-import", "--quiet")
	if out, err := r.try(nil, "push", r.bare, "refs/heads/long"); err == nil || !strings.Contains(out, "take more than 32 MiB together") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := r.try(nil, "push", r.bare, "refs/heads/long~10:refs/heads/long"); err != nil {
		t.Errorf("what fits is refused: %s", out)
	}
}

func TestParse(t *testing.T) {
	const hash = "12345678901234567890"
	for _, broken := range []string{"100644 a", "100644 a\x00short", " a\x00" + hash, "100644 \x00" + hash, "100644\x00a b" + hash, "100644 " + strings.Repeat("n", 256) + "\x00" + hash, "10064x a\x00" + hash} {
		if got, err := parse([]byte(broken), 20); err == nil {
			t.Errorf("%q: %v", broken, got)
		}
	}
	got, err := parse([]byte("100644 file\x00"+hash+"40000 folder\x00"+hash+"160000 submodule\x00"+hash+"120000 link\x00"+hash), 20)
	want := []entry{{name: 4}, {6, hex.EncodeToString([]byte(hash))}, {name: 9}, {name: 4}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}
