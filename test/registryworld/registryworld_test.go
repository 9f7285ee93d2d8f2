//go:build registryworld

package registryworld

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/druppie/druppie-up/internal/names"
)

const (
	cluster = "druppie-registryworld"
	// With all images in reach a bring-up takes minutes: longer means that it hangs.
	timeout = 30 * time.Minute
	// cutAt is when the fill that is killed has come half-way.
	cutAt = 300 << 20
)

// environment is a registry, an empty store, and a state folder of its own.
type environment struct {
	up     *upstream
	mirror string
	dir    string
}

// item is what the test reads of a line of `supply list`.
type item struct{ Ref, Digest, Supply, State, Reason string }

// TestRegistryWorld fills an empty store from a registry while up runs, flies the first flight, and damages
// the store afterwards.
func TestRegistryWorld(t *testing.T) {
	w := newEnvironment(t)
	t.Cleanup(func() { w.down(t) })

	took := w.run(t, w.fillFlags("up", "--name", cluster)...)
	t.Logf("up from an empty store took %s, the supply's part was %s", took.all, took.steps["supply/registry"])
	for _, step := range took.order {
		t.Logf("- %s: %s", step, took.steps[step])
	}
	w.checkFaults(t)
	w.checkStore(t)

	took = w.run(t, "scenario", "run", "first-flight", "--name", cluster)
	t.Logf("first-flight took %s", took.all)
	w.down(t)

	victim := w.damage(t)
	out, err := w.command(t, "supply", "verify", "--store", w.store(), "--progress", "plain").CombinedOutput()
	if err == nil || !strings.Contains(string(out), victim) {
		t.Errorf("verify doesn't name the damaged %s: %v\n%s", victim, err, out)
	}
	before := w.up.blobsServed()
	w.run(t, w.fillFlags("supply", "fill")...)
	if n := w.up.blobsServed() - before; n != 1 {
		t.Errorf("mending one blob fetched %d", n)
	}
	w.checkStore(t)
}

// TestKilledFill kills a fill half-way. The next one fetches no blob again that was whole by then.
func TestKilledFill(t *testing.T) {
	w := newEnvironment(t)
	cmd := w.command(t, w.fillFlags("supply", "fill")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(timeout); w.up.bytesServed() < cutAt; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the fill doesn't get anywhere")
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatalf("it was over before it could be killed: %v", err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it was over before it could be killed")
	}
	whole := w.whole(t)
	if len(whole) == 0 {
		t.Fatal("nothing was whole when it was killed")
	}
	before := w.up.servedNow()
	// This time nothing is said about the supply: the registry is in reach, so it is taken.
	took := w.run(t, append(w.fillFlags("supply", "fill"), "--supply", "auto")...)
	t.Logf("killed with %d blobs whole; the rest took %s", len(whole), took.all)
	after := w.up.servedNow()
	for path, n := range after {
		if digest := path[strings.LastIndex(path, ":")+1:]; slices.Contains(whole, digest) && strings.Contains(path, "/blobs/") && n > before[path] {
			t.Errorf("%s was there and was fetched again", path)
		}
	}
	w.checkStore(t)
}

// TestNoRegistry has nobody answer: that is said at once, and by name.
func TestNoRegistry(t *testing.T) {
	w := newEnvironment(t)
	w.mirror = "http://127.0.0.1:1"
	began := time.Now()
	cmd := w.command(t, w.fillFlags("up", "--name", cluster, "--progress", "plain")...)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "127.0.0.1:1 doesn't answer") ||
		!strings.Contains(string(out), "--registry-mirror") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s to see that nobody answers", took)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "state", "druppie-up", cluster)); err == nil {
		t.Error("a state folder was left")
	}
}

func newEnvironment(t *testing.T) *environment {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(cache, "druppie-up")
	if out, err := exec.Command(druppie(t), "supply", "verify").CombinedOutput(); err != nil {
		t.Fatalf("the registry serves this machine's store, which must be complete: %v\n%s", err, out)
	}
	up, err := newUpstream(filepath.Join(cache, "store"))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(up)
	t.Cleanup(srv.Close)
	// Where stores lie otherwise: a folder for temporary files may be small, or memory.
	dir, err := os.MkdirTemp(cache, "registryworld-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return &environment{up: up, mirror: srv.URL, dir: dir}
}

func (w *environment) store() string { return filepath.Join(w.dir, "store") }

// fillFlags adds what a command needs that fills the store. The served images may have been built here, so
// that upstream's digests aren't theirs.
func (w *environment) fillFlags(args ...string) []string {
	return append(args, "--store", w.store(), "--supply", "registry", "--registry-mirror", w.mirror, "--unpinned")
}

// checkFaults says whether the registry misbehaved, and was asked again.
func (w *environment) checkFaults(t *testing.T) {
	t.Helper()
	w.up.mu.Lock()
	defer w.up.mu.Unlock()
	if w.up.throttled == "" || w.up.served[w.up.throttled] == 0 {
		t.Errorf("%q was answered with 429, and not asked for again", w.up.throttled)
	}
	mended := false
	for path := range w.up.served {
		mended = mended || w.up.corrupted != "" && strings.HasSuffix(path, "/blobs/"+w.up.corrupted)
	}
	if !mended {
		t.Errorf("%q was sent with a wrong byte, and not fetched again", w.up.corrupted)
	}
	if len(w.up.refused) > 0 {
		t.Errorf("asked for what no registry has: %q", w.up.refused)
	}
	t.Logf("429 for %s, a wrong byte in %s, %d MB served", w.up.throttled, w.up.corrupted, w.up.bytes>>20)
}

// checkStore says whether the store holds every image as the registry has it, under its index.
func (w *environment) checkStore(t *testing.T) {
	t.Helper()
	out, err := w.command(t, "supply", "list", "--store", w.store(), "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var items []item
	if err := json.Unmarshal(out, &items); err != nil {
		t.Fatal(err)
	}
	images, fetched := w.up.images(), 0
	for _, i := range items {
		if i.State != "there" {
			t.Errorf("%s is %s: %s", i.Ref, i.State, i.Reason)
		}
		if strings.HasPrefix(i.Ref, names.OwnHost+"/") {
			continue
		}
		if fetched++; i.Supply != "registry" || i.Digest != images[i.Ref] {
			t.Errorf("%s is %s from %s, the registry has %s", i.Ref, i.Digest, i.Supply, images[i.Ref])
		}
	}
	if fetched < 10 {
		t.Errorf("only %d images came from the registry", fetched)
	}
	if out, err := w.command(t, "supply", "verify", "--store", w.store()).CombinedOutput(); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
}

// damage changes a byte of the blob that is most worth it, and returns its digest.
func (w *environment) damage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(w.store(), "blobs", "sha256", strings.TrimPrefix(w.up.corrupted, "sha256:"))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, 100); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, 100); err != nil {
		t.Fatal(err)
	}
	return w.up.corrupted
}

// whole lists the blobs that the store has.
func (w *environment) whole(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(w.store(), "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	for _, f := range files {
		digests = append(digests, f.Name())
	}
	return digests
}

func (w *environment) down(t *testing.T) {
	t.Helper()
	if out, err := w.command(t, "down", "--name", cluster).CombinedOutput(); err != nil {
		t.Errorf("down: %v\n%s", err, out)
	}
}

// command is druppie-up with a state folder of its own, which may take as long as this test.
func (w *environment) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	// Not the test's context: that one is over when cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, druppie(t), args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+filepath.Join(w.dir, "state"))
	return cmd
}

// times are how long a command and its steps took.
type times struct {
	all   time.Duration
	order []string
	steps map[string]time.Duration
}

// run runs a command that must succeed, and reads its events.
func (w *environment) run(t *testing.T, args ...string) times {
	t.Helper()
	cmd := w.command(t, append(args, "--progress", "json")...)
	var out bytes.Buffer
	cmd.Stdout = &out
	events, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	got := times{steps: map[string]time.Duration{}}
	started := map[string]time.Time{}
	var last []string
	for lines := bufio.NewScanner(events); lines.Scan(); {
		last = append(last[max(0, len(last)-40):], lines.Text())
		var e struct {
			Time      time.Time
			Event, ID string
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue
		}
		switch e.Event {
		case "start":
			started[e.ID] = e.Time
		case "done":
			if _, seen := got.steps[e.ID]; !seen {
				got.order = append(got.order, e.ID)
			}
			// The supply has two parts: the node image, and the rest.
			got.steps[e.ID] += e.Time.Sub(started[e.ID])
		}
	}
	err = cmd.Wait()
	got.all = time.Since(began).Round(time.Second)
	if err != nil {
		t.Fatalf("%s: %v after %s\n%s\n%s", strings.Join(args, " "), err, got.all, out.String(), strings.Join(last, "\n"))
	}
	return got
}

// druppie is the built command.
func druppie(t *testing.T) string {
	t.Helper()
	path := os.Getenv("DRUPPIE_UP")
	if path == "" {
		path = "../../bin/druppie-up"
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("make build first: %v", err)
	}
	return path
}
