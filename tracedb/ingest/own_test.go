package ingest

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/log"
)

// sealed signs any bytes.
func sealed(t testing.TB, key *ecdsa.PrivateKey, body []byte) json.RawMessage {
	t.Helper()
	sum := sha256.Sum256(dsse.PAE(attest.PayloadType, body))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return raw(t, map[string]any{
		"payloadType": attest.PayloadType, "payload": base64.StdEncoding.EncodeToString(body),
		"signatures": []any{map[string]any{"sig": base64.StdEncoding.EncodeToString(sig)}},
	})
}

// keys are the keyring's records, oldest first: name, retired, kinds.
func (b *bench) keys(t *testing.T) (out []string) {
	t.Helper()
	entries, err := b.log.Range(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Kind != tracedb.KindKey {
			continue
		}
		payload, err := b.log.Payload(t.Context(), e.Seq)
		if err != nil {
			t.Fatal(err)
		}
		var k tracedb.Key
		if err := json.Unmarshal(payload, &k); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s %t %v", k.Name, k.Retired, k.Kinds))
	}
	return out
}

// TestStart records what becomes of the keyring from one start to the next, and nothing else.
func TestRecordKeyring(t *testing.T) {
	b := newBench(t)
	second := b.keyFile(t, "second", newKey(t).Public(), tracedb.KindSBOM)
	retired := second
	retired.Retired = noon
	narrow := b.ring[0]
	narrow.Kinds = []tracedb.Kind{tracedb.KindProvenance}
	var want []string
	for _, step := range []struct {
		name string
		ring []attest.KeyFile
		adds []string
	}{
		{"the first key", b.ring, []string{"foundry false []"}},
		{"nothing new", b.ring, nil},
		{"a second key", []attest.KeyFile{b.ring[0], second}, []string{"second false [sbom]"}},
		{"it is retired", []attest.KeyFile{b.ring[0], retired}, []string{"second true [sbom]"}},
		{"it is gone", b.ring, nil},
		{"the first may do less", []attest.KeyFile{narrow}, []string{"foundry false [provenance]"}},
		{"all are gone", nil, []string{"foundry true [provenance]"}},
		{"still gone", nil, nil},
		{"the first is back", b.ring, []string{"foundry false []"}},
	} {
		keyring, err := attest.LoadKeyring(step.ring)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // two programs that start at once
			b.o.Keyring = keyring
			if err := b.RecordKeyring(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, step.adds...)
		if diff := cmp.Diff(want, b.keys(t)); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestRecordRead records an auditor's read once a minute.
func TestRecordRead(t *testing.T) {
	b := newBench(t)
	anna, piet := tracedb.Identity{Name: "gitea:anna"}, tracedb.Identity{Name: "gitea:piet"}
	why := tracedb.Read{What: "why", Of: digest}
	for _, step := range []struct {
		name  string
		after time.Duration
		who   tracedb.Identity
		read  tracedb.Read
		want  int64 // records in all
	}{
		{"the first", 0, anna, why, 1},
		{"again", 0, anna, why, 1},
		{"at the minute's end", 59 * time.Second, anna, why, 1},
		{"somebody else", 0, piet, why, 2},
		{"something else", 0, anna, tracedb.Read{What: "export", Of: digest}, 3},
		{"of something else", 0, anna, tracedb.Read{What: "why", Of: sha}, 4},
		{"a minute later", time.Second, anna, why, 5},
		{"the clock jumps back", -time.Hour, anna, why, 6},
	} {
		b.now = b.now.Add(step.after)
		if err := b.RecordRead(t.Context(), step.who, step.read); err != nil {
			t.Fatal(err)
		}
		if n := b.log.Size(); n != step.want {
			t.Errorf("%s: %d records, want %d", step.name, n, step.want)
		}
	}
	entries, err := b.log.Entries(t.Context(), 0)
	if err != nil || entries[0].Actor != anna.Name || entries[0].Writer != Writer || entries[0].Kind != tracedb.KindRead {
		t.Errorf("entry = %+v, %v", entries, err)
	}
	if err := b.RecordRead(t.Context(), tracedb.Identity{}, why); code(err) != "unauthenticated" {
		t.Errorf("nobody read: %v", err)
	}
	long := strings.Repeat("x", MaxName)
	before := b.log.Size()
	for _, of := range []string{long, long + "a", long + "b"} {
		err := b.RecordRead(t.Context(), anna, tracedb.Read{What: "search", Of: of})
		if fits := of == long; fits != (err == nil) || !fits && code(err) != "invalid" {
			t.Errorf("%d bytes: %v", len(of), err)
		}
	}
	if n := b.log.Size(); n != before+1 {
		t.Errorf("%d records of one question that can be recorded", n-before)
	}
	// A full disk stops no reading, and a read that wasn't recorded isn't remembered as if it were.
	other := tracedb.Read{What: "page", Of: "x"}
	b.o.Log = full{b.log}
	if err := b.RecordRead(t.Context(), anna, other); err != nil {
		t.Errorf("on a full disk: %v", err)
	}
	before, b.o.Log = b.log.Size(), b.log
	if err := b.RecordRead(t.Context(), anna, other); err != nil || b.log.Size() != before+1 {
		t.Errorf("after a full disk: %v, %d records", err, b.log.Size()-before)
	}
	r := newReads()
	for i := range 3 * maxReads {
		r.last.Add(fmt.Sprint(i), noon)
	}
	if r.last.Len() > maxReads {
		t.Errorf("%d reads are remembered", r.last.Len())
	}
}

// late is a log whose records wait for the test.
type late struct {
	Log
	asked atomic.Int32
	end   chan error
}

func (l *late) Append(context.Context, string, []log.Prepared) ([]tracedb.Receipt, error) {
	l.asked.Add(1)
	return []tracedb.Receipt{{}}, <-l.end
}

// TestReadsAtOnce shows nothing to anybody before it is recorded that they read it, however many read
// the same thing.
func TestReadsAtOnce(t *testing.T) {
	b := newBench(t)
	synctest.Test(t, func(t *testing.T) {
		slow := &late{Log: b.log, end: make(chan error)}
		b.o.Log = slow
		answers := make(chan error, 3)
		for i, tt := range []struct {
			append error
			want   string
		}{{tracedb.ErrUnavailable, "unavailable"}, {nil, ""}} {
			for range 3 {
				go func() {
					answers <- b.RecordRead(t.Context(), tracedb.Identity{Name: "gitea:anna"}, tracedb.Read{What: "why", Of: digest})
				}()
			}
			synctest.Wait()
			if n := len(answers); n > 0 {
				t.Errorf("%d reads were allowed before any was recorded", n)
			}
			slow.end <- tt.append
			for range 3 {
				if err := <-answers; tt.want == "" && err != nil || tt.want != "" && code(err) != tt.want {
					t.Errorf("record %d: %v, want %q", i, err, tt.want)
				}
			}
		}
		if n := slow.asked.Load(); n != 2 {
			t.Errorf("two rounds of three made %d records", n)
		}
	})
}
