package log_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
)

// stating puts facts into a payload, where derive finds them again, and what makes it unique.
func stating(facts ...tracedb.Fact) change {
	return func(p *log.Prepared) {
		raw, err := json.Marshal(map[string]any{"id": p.ID, "facts": facts, "unique": p.Unique})
		if err != nil {
			panic(err)
		}
		p.Payload, p.Facts = raw, facts
	}
}

func derive(_ tracedb.Entry, payload json.RawMessage) ([]tracedb.Fact, error) {
	var p struct{ Facts []tracedb.Fact }
	err := json.Unmarshal(payload, &p)
	return p.Facts, err
}

func attested(_ tracedb.Entry, payload json.RawMessage) (string, error) {
	var p struct{ Unique string }
	err := json.Unmarshal(payload, &p)
	return p.Unique, err
}

func withDerive(o *log.Options) { o.Derive, o.Unique = derive, attested }

func image(digest, commit string) tracedb.Fact {
	return tracedb.Fact{Table: "image", Key: digest, Value: json.RawMessage(fmt.Sprintf(`{"commit":%q}`, commit))}
}

func owner(id, repository string) tracedb.Fact {
	return tracedb.Fact{Table: "owner", Key: id, Value: json.RawMessage(fmt.Sprintf(`{"repository":%q}`, repository)), Bound: true}
}

// testDispose lets the terms of some payloads end.
func testDispose(t *testing.T, e engine) {
	now := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	dsn := e.empty(t)
	l := e.openAt(t, dsn, logtest.Now(func() time.Time { return now }), withDerive)
	n := 20
	if e.name == "sqlite" {
		n = 10_050 // more than one record of disposal names
	}
	kept := add(t, l, draft("register", kind(tracedb.KindRegister), stating(owner("alg-1", "o/one"))), draft("provenance", kind(tracedb.KindProvenance), stating(image("sha256:a", "1"))))
	old := add(t, l, drafts("old", n, stating(image("sha256:pod", "2")), about(tracedb.RefCommit, "c"))...)
	now = now.Add(365 * 24 * time.Hour)
	young := add(t, l, draft("young"))
	before := checkpoint(t, l)
	if receipts, err := l.Dispose(t.Context(), now); err != nil || len(receipts) != 0 {
		t.Fatalf("disposed too early: %v, %v", receipts, err)
	}
	// A clock that is far ahead counts for nothing; that something was recorded does.
	if receipts, err := l.Dispose(t.Context(), now.Add(20*tracedb.Term)); err != nil || len(receipts) != 0 {
		t.Fatalf("disposed of what isn't due, on the word of the clock alone: %v, %v", receipts, err)
	}
	now = now.Add(tracedb.Term - 24*time.Hour)
	add(t, l, draft("new"))
	receipts, err := l.Dispose(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	named := map[int64]bool{}
	for _, r := range receipts {
		entries, err := l.Entries(t.Context(), r.Seq)
		if err != nil || entries[0].Kind != tracedb.KindDisposal || entries[0].Writer != log.Self {
			t.Fatalf("the record of disposal is %+v, %v", entries, err)
		}
		body, err := l.Payload(t.Context(), r.Seq)
		var d tracedb.Disposal
		if err := errors.Join(err, json.Unmarshal(body, &d)); err != nil || d.Kind != tracedb.KindCommit || d.Reason == "" || !d.Before.Equal(now.Add(-tracedb.Term)) {
			t.Errorf("disposal says %+v, %v", d, err)
		}
		for _, seq := range d.Seqs {
			named[seq] = true
		}
	}
	if len(named) != n {
		t.Errorf("%d payloads were named by %d records, want %d", len(named), len(receipts), n)
	}
	for _, r := range []tracedb.Receipt{old[0], old[n-1]} {
		if _, err := l.Payload(t.Context(), r.Seq); !errors.Is(err, tracedb.ErrDisposed) || !named[r.Seq] {
			t.Errorf("payload %d: %v", r.Seq, err)
		}
	}
	for _, r := range []tracedb.Receipt{kept[0], kept[1], young[0]} {
		if _, err := l.Payload(t.Context(), r.Seq); err != nil || named[r.Seq] {
			t.Errorf("payload %d: %v", r.Seq, err)
		}
	}
	if left, err := l.Payloads(t.Context(), old[0].Seq, kept[0].Seq); err != nil || len(left) != 1 || left[kept[0].Seq] == nil {
		t.Errorf("payloads: %v, %v, want that which was kept", left, err)
	}
	facts, err := l.History(t.Context(), "image", "sha256:pod")
	if err != nil || len(facts) != n {
		t.Errorf("%d facts of what was disposed of, %v", len(facts), err)
	}
	commit := tracedb.Ref{Type: tracedb.RefCommit, Value: "c"}
	if got, err := l.ByRefs(t.Context(), []tracedb.Ref{commit}, 5); err != nil || len(got[commit]) != 5 {
		t.Errorf("by ref: %v, %v", got, err)
	}
	report := sound(t, l, before.Note)
	if report.Disposed != int64(n) {
		t.Errorf("%d payloads are gone, want %d", report.Disposed, n)
	}
	if again, err := l.Dispose(t.Context(), now); err != nil || len(again) != 0 {
		t.Errorf("disposed again: %v, %v", again, err)
	}
	// What was disposed of is still known: it isn't taken again, and it doesn't come back.
	if r := add(t, l, draft("old-0", stating(image("sha256:pod", "2")), about(tracedb.RefCommit, "c"))); !r[0].Duplicate || r[0].Seq != old[0].Seq {
		t.Errorf("what was disposed of was taken again: %+v", r)
	}
	if err := e.exec(t, dsn, fmt.Sprintf("INSERT INTO payloads (seq, body) VALUES (%d, 'x')", old[0].Seq)); err == nil {
		t.Error("a payload that was disposed of came back")
	}
	// Rebuilding keeps the facts that can't be derived any more.
	if err := l.Rebuild(t.Context(), derive); err != nil {
		t.Fatal(err)
	}
	if facts, err = l.History(t.Context(), "image", "sha256:pod"); err != nil || len(facts) != n {
		t.Errorf("%d facts after rebuilding, %v", len(facts), err)
	}
	sound(t, l, before.Note)
}

// testDisposeOn disposes though one kind can't be, and though somebody reads an older state all the while.
func testDisposeOn(t *testing.T, e engine) {
	now := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	dsn := e.empty(t)
	l := e.openAt(t, dsn, logtest.Now(func() time.Time { return now }))
	add(t, l, draft("a"), draft("b", kind(tracedb.KindReview)), draft("c", kind(tracedb.KindMerge)))
	now = now.Add(tracedb.Term + time.Hour)
	add(t, l, draft("now"))
	fails := "CREATE TRIGGER disposals_fail BEFORE INSERT ON disposals WHEN NEW.seq = 1 BEGIN SELECT RAISE(ABORT, 'no'); END"
	if e.name == "postgres" {
		fails = `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
			CREATE TRIGGER disposals_fail BEFORE INSERT ON disposals FOR EACH ROW WHEN (NEW.seq = 1) EXECUTE FUNCTION fail()`
	}
	if err := e.exec(t, dsn, fails); err != nil {
		t.Fatal(err)
	}
	receipts, err := l.Dispose(t.Context(), now)
	if err == nil || !strings.Contains(err.Error(), "of kind review") || len(receipts) != 2 {
		t.Errorf("disposed with %d records, %v", len(receipts), err)
	}
	for seq, want := range []error{tracedb.ErrDisposed, nil, tracedb.ErrDisposed, nil} {
		if _, err := l.Payload(t.Context(), int64(seq)); !errors.Is(err, want) {
			t.Errorf("payload %d: %v, want %v", seq, err, want)
		}
	}
}

// TestForgotten looks for a payload that was disposed of in the database's files: it may be there only as
// long as somebody reads an older state.
func TestForgotten(t *testing.T) {
	now := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "trace.db")
	l := logtest.New(t, logtest.At(path), logtest.Now(func() time.Time { return now }))
	add(t, l, draft("old", payload(`"what must be forgotten"`)))
	now = now.Add(tracedb.Term + time.Hour)
	add(t, l, draft("now"))
	there := func() bool {
		t.Helper()
		for _, name := range []string{path, path + "-wal"} {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(raw, []byte("must be forgotten")) {
				return true
			}
		}
		return false
	}
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reader, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM payloads").Scan(&n); err != nil {
		t.Fatal(err)
	}
	impatient, leave := context.WithCancel(t.Context())
	go func() {
		for l.Size() < 3 {
			time.Sleep(time.Millisecond)
		}
		leave()
	}()
	if receipts, err := l.Dispose(impatient, now); len(receipts) != 1 || !errors.Is(err, context.Canceled) || !there() {
		t.Errorf("disposed under a reader's eyes: %v, %v, still there: %t", receipts, err, there())
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if receipts, err := l.Dispose(t.Context(), now); err != nil || len(receipts) != 0 || there() {
		t.Errorf("the next time: %v, %v, still there: %t", receipts, err, there())
	}
}

// everything is what a log answers, for comparing.
func everything(t *testing.T, l *log.Log) string {
	t.Helper()
	var out bytes.Buffer
	page, err := l.Search(t.Context(), tracedb.Query{Kinds: []tracedb.Kind{tracedb.KindCommit, tracedb.KindReview}, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, seqs(page.Entries))
	for _, actor := range []string{"anna", "bram"} {
		page, err := l.Search(t.Context(), tracedb.Query{Actor: actor, Until: time.Now().Add(time.Hour), Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, seqs(page.Entries))
	}
	commit := tracedb.Ref{Type: tracedb.RefCommit, Value: "c"}
	entries, err := l.ByRefs(t.Context(), []tracedb.Ref{commit}, 500)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&out, seqs(entries[commit]))
	for _, table := range []string{"image", "owner"} {
		facts, err := l.Facts(t.Context(), table)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			history, err := l.History(t.Context(), table, f.Key)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%+v %+v\n", f, history)
		}
	}
	return out.String()
}

// testRebuild breaks everything that is derived, and derives it anew.
func testRebuild(t *testing.T, e engine) {
	dsn := e.empty(t)
	l := e.openAt(t, dsn, withDerive)
	add(t, l, drafts("a", 290, about(tracedb.RefCommit, "c"), stating(image("sha256:a", "1")))...)
	add(t, l, drafts("b", 10, kind(tracedb.KindReview), actor("bram"), stating(owner("alg-1", "o/one"), image("sha256:b", "2")))...)
	cp := checkpoint(t, l)
	want := everything(t, l)
	broken := e.unguard("records") + e.unguard("refs") + e.unguard("facts") + `
		UPDATE records SET actor = 'mallory', kind = 'review' WHERE seq = 4; DELETE FROM records WHERE seq = 5;
		DELETE FROM refs WHERE seq > 100; UPDATE facts SET value = '{}' WHERE tbl = 'owner'; DELETE FROM facts WHERE tbl = 'image';`
	if err := e.exec(t, dsn, broken); err != nil {
		t.Fatal(err)
	}
	if report, err := l.Check(t.Context()); err != nil || report.OK() {
		t.Fatalf("check saw nothing: %v", err)
	}
	if got := everything(t, l); got == want {
		t.Fatal("nothing was broken")
	}

	// A rebuilding that fails changes nothing.
	half := everything(t, l)
	stop := errors.New("stop")
	err := l.Rebuild(t.Context(), func(e tracedb.Entry, _ json.RawMessage) ([]tracedb.Fact, error) {
		if e.Seq == 299 {
			return nil, stop
		}
		return nil, nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("rebuild with a derivation that fails: %v", err)
	}
	if diff := cmp.Diff(half, everything(t, l)); diff != "" {
		t.Errorf("a rebuilding that failed changed something (-before +after):\n%s", diff)
	}

	if err := l.Rebuild(t.Context(), derive); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, everything(t, l)); diff != "" {
		t.Errorf("after rebuilding (-want +got):\n%s", diff)
	}
	sound(t, l, cp.Note)
	if after := checkpoint(t, l); after.Root != cp.Root || after.Size != cp.Size {
		t.Errorf("rebuilding changed the tree: %d %s, was %d %s", after.Size, after.Root, cp.Size, cp.Root)
	}
	// The guards are back, and what was known is still known.
	for _, statement := range []string{"UPDATE records SET actor = 'x'", "DELETE FROM refs", "UPDATE facts SET value = '1'"} {
		if err := e.exec(t, dsn, statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s after rebuilding: %v", statement, err)
		}
	}
	if r := add(t, l, draft("a-0", about(tracedb.RefCommit, "c"), stating(image("sha256:a", "1")))); !r[0].Duplicate {
		t.Errorf("a known record was taken again: %+v", r)
	}
	if _, err := l.Append(t.Context(), "writer", []log.Prepared{draft("c", stating(owner("alg-1", "o/two")))}); !errors.Is(err, tracedb.ErrBound) {
		t.Errorf("a bound fact was taken again: %v", err)
	}

	// What doesn't fit its hash isn't derived from.
	if err := e.exec(t, dsn, e.unguard("payloads")+`UPDATE payloads SET body = (SELECT body FROM payloads WHERE seq = 8) WHERE seq = 7`); err != nil {
		t.Fatal(err)
	}
	if err := l.Rebuild(t.Context(), derive); err == nil || !strings.Contains(err.Error(), "record 7: the payload doesn't fit its digest") {
		t.Errorf("rebuild from a payload that was changed: %v", err)
	}
}

// testAppendOnly tries to change what is there, in every way that SQL has.
func testAppendOnly(t *testing.T, e engine) {
	dsn := e.empty(t)
	l := e.openAt(t, dsn)
	add(t, l, drafts("a", 300, about(tracedb.RefCommit, "c"), fact("image", "k", `1`, false), unique(""))...)
	add(t, l, draft("b", unique("att"), fact("owner", "alg-1", `1`, true)))
	cp := checkpoint(t, l)
	column := map[string]string{"log": "origin", "leaves": "leaf", "payloads": "body", "nodes": "hash", "heads": "root", "attestations": "seq",
		"disposals": "record", "records": "actor", "refs": "value", "facts": "value"}
	var tries []string
	for table, c := range column {
		tries = append(tries, fmt.Sprintf("DELETE FROM %s", table), fmt.Sprintf("UPDATE %s SET %s = %s", table, c, c))
		if e.name == "postgres" {
			tries = append(tries, "TRUNCATE "+table, "TRUNCATE "+table+" CASCADE",
				fmt.Sprintf("SET session_replication_role = replica; UPDATE %s SET %s = %s", table, c, c))
		} else if table != "refs" && table != "disposals" {
			// A ref is nothing but its key: replacing it changes nothing.
			tries = append(tries, fmt.Sprintf("REPLACE INTO %[1]s SELECT * FROM %[1]s LIMIT 1", table))
		}
	}
	tries = append(tries,
		"INSERT INTO disposals (seq, record) VALUES (0, 1)",
		"INSERT INTO disposals (seq, record) VALUES (0, 0)",
		"INSERT INTO leaves (seq, leaf, hash) SELECT seq, leaf, hash FROM leaves WHERE true ON CONFLICT (seq) DO UPDATE SET leaf = excluded.leaf",
	)
	if e.name == "sqlite" {
		tries = append(tries,
			"UPDATE OR REPLACE records SET id = 'a-1' WHERE seq = 0",
			"INSERT OR REPLACE INTO records SELECT 999, time, id, kind, actor, writer, at, outcome, payload, size FROM records WHERE seq = 0",
			"INSERT OR REPLACE INTO facts SELECT tbl, key, 999, value, 1 FROM facts WHERE tbl = 'owner'")
	}
	for _, statement := range tries {
		if strings.Contains(statement, "disposals") && !strings.HasPrefix(statement, "INSERT") && e.name == "sqlite" {
			continue // a trigger for rows doesn't fire where there are none
		}
		if err := e.exec(t, dsn, statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	sound(t, l, cp.Note)
	if after := checkpoint(t, l); after.Root != cp.Root {
		t.Error("the tree was changed")
	}
}
