package log_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/log/postgres/server"
)

// blob writes bytes as the engine's SQL has them.
func (e engine) blob(b []byte) string {
	if e.name == "postgres" {
		return fmt.Sprintf(`'\x%x'::bytea`, b)
	}
	return fmt.Sprintf("X'%X'", b)
}

// testTampered changes one thing behind the log's back, and expects Check to name exactly that.
func testTampered(t *testing.T, e engine) {
	zero := e.blob(make([]byte, 32))
	// leaf is the entry's leaf and hash after a change that its writer might have liked better.
	changed := func(l *log.Log, seq int64, f func(*tracedb.Entry)) (leaf, hash string) {
		entries, err := l.Entries(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		f(&entries[0])
		h := entries[0].Hash()
		return e.blob(entries[0].Leaf()), e.blob(h[:])
	}
	mallory := func(e *tracedb.Entry) { e.Actor = "mallory" }
	tests := []struct {
		name   string
		tables string
		do     func(l *log.Log) string
		want   []string // place, seq, and part of what is said
	}{
		{"nothing", "", func(*log.Log) string { return "SELECT 1" }, nil},
		{"leaf", "leaves", func(l *log.Log) string {
			leaf, _ := changed(l, 7, mallory)
			return "UPDATE leaves SET leaf = " + leaf + " WHERE seq = 7"
		}, []string{"leaf 7: its bytes aren't", "record 7: not what its leaf says: actor"}},
		{"leaf near the edge", "leaves", func(l *log.Log) string {
			leaf, _ := changed(l, 280, mallory)
			return "UPDATE leaves SET leaf = " + leaf + " WHERE seq = 280"
		}, []string{"leaf 280: its bytes aren't", "record 280: not what its leaf says: actor"}},
		{"leaf and hash", "leaves", func(l *log.Log) string {
			leaf, hash := changed(l, 7, mallory)
			return "UPDATE leaves SET leaf = " + leaf + ", hash = " + hash + " WHERE seq = 7"
		}, []string{"record 7: not what its leaf says: actor", "node 0: node 0 of level 1 isn't the hash of the 256 records", "head 100: its root", "head 300: its root"}},
		{"leaf, hash and columns near the edge", "leaves records", func(l *log.Log) string {
			leaf, hash := changed(l, 280, mallory)
			return "UPDATE leaves SET leaf = " + leaf + ", hash = " + hash + " WHERE seq = 280; UPDATE records SET actor = 'mallory' WHERE seq = 280"
		}, []string{"head 300: its root"}},
		{"leaf that isn't JSON", "leaves", func(l *log.Log) string { return "UPDATE leaves SET leaf = " + e.blob([]byte("{")) + " WHERE seq = 7" },
			[]string{"leaf 7: read leaf", "leaf 7: its bytes"}},
		{"leaf of another place", "leaves", func(l *log.Log) string {
			leaf, hash := changed(l, 8, func(*tracedb.Entry) {})
			return "UPDATE leaves SET leaf = " + leaf + ", hash = " + hash + " WHERE seq = 7"
		}, []string{"leaf 7: it says that it is record 8", "node 0:", "head 100:", "head 300:"}},
		{"leaf before its time", "leaves records", func(l *log.Log) string {
			leaf, hash := changed(l, 280, func(e *tracedb.Entry) { e.Time = e.Time.Add(-time.Hour) })
			return "UPDATE leaves SET leaf = " + leaf + ", hash = " + hash + " WHERE seq = 280; UPDATE records SET time = time - 3600000000 WHERE seq = 280"
		}, []string{"leaf 280: its time is before", "head 300: its root"}},
		{"leaf gone", "leaves", func(*log.Log) string { return "DELETE FROM leaves WHERE seq = 7" },
			[]string{"leaf 7: missing", "node 0:", "head 100:", "head 300:"}},
		{"hash", "leaves", func(*log.Log) string { return "UPDATE leaves SET hash = " + zero + " WHERE seq = 7" }, []string{"hash 7: the stored hash isn't the leaf's"}},
		{"hash near the edge", "leaves", func(*log.Log) string { return "UPDATE leaves SET hash = " + zero + " WHERE seq = 299" }, []string{"hash 299: the stored hash isn't the leaf's"}},
		{"payload", "payloads", func(*log.Log) string {
			return "UPDATE payloads SET body = " + e.blob([]byte(`{"said":"something else"}`)) + " WHERE seq = 290"
		}, []string{"payload 290: its bytes aren't"}},
		{"payload gone", "payloads", func(*log.Log) string {
			return "DELETE FROM payloads WHERE seq = 5"
		}, []string{"payload 5: missing, and no disposal names it"}},
		{"payload gone with a forged disposal", "payloads disposals", func(*log.Log) string {
			if e.name == "sqlite" {
				return "DROP TRIGGER disposals_record; INSERT INTO disposals (seq, record) VALUES (5, 6); DELETE FROM payloads WHERE seq = 5"
			}
			return "INSERT INTO disposals (seq, record) VALUES (5, 6); DELETE FROM payloads WHERE seq = 5"
		}, []string{"payload 5: missing, and record 6, which should say why, is no disposal"}},
		{"columns gone", "records", func(*log.Log) string { return "DELETE FROM records WHERE seq = 5" }, []string{"record 5: its columns are missing"}},
		{"record that never was", "", func(*log.Log) string {
			return "INSERT INTO records SELECT 1000, time, 'forged', kind, actor, writer, at, outcome, payload, size FROM records WHERE seq = 5"
		}, []string{"record 1000: belongs to no record"}},
		{"ref", "refs", func(*log.Log) string { return "UPDATE refs SET value = 'd' WHERE seq = 5" }, []string{`ref 5: stored: ["commit" "d"]; the record says: ["commit" "c"]`}},
		{"ref gone", "refs", func(*log.Log) string { return "DELETE FROM refs WHERE seq = 299" }, []string{`ref 299: stored: []`}},
		{"ref added", "", func(*log.Log) string { return "INSERT INTO refs (type, value, seq) VALUES ('commit', 'd', 5)" }, []string{`ref 5: stored: ["commit" "c"; "commit" "d"]`}},
		{"ref moved", "refs", func(*log.Log) string { return "UPDATE refs SET seq = 1000 WHERE seq = 5" }, []string{`ref 5: stored: []`, "ref 1000: belongs to no record"}},
		{"fact", "facts", func(*log.Log) string { return "UPDATE facts SET value = '{\"commit\":\"9\"}' WHERE seq = 5" }, []string{`fact 5: stored: ["image"`}},
		{"fact gone", "facts", func(*log.Log) string { return "DELETE FROM facts WHERE seq = 5" }, []string{`fact 5: stored: []`}},
		{"bound fact", "facts", func(*log.Log) string {
			return "UPDATE facts SET value = '{\"repository\":\"o/two\"}' WHERE tbl = 'owner'"
		}, []string{`fact 100: stored`}},
		{"fact added", "", func(*log.Log) string {
			return "INSERT INTO facts (tbl, key, seq, value, bound) VALUES ('image', 'sha256:z', 299, '1', 0)"
		}, []string{`fact 299: stored`}},
		{"node", "nodes", func(*log.Log) string { return "UPDATE nodes SET hash = " + zero }, []string{"node 0: node 0 of level 1 isn't the hash"}},
		{"node gone", "nodes", func(*log.Log) string { return "DELETE FROM nodes" }, []string{"node 0: node 0 of level 1, over the 256 records from here on, is missing"}},
		{"node that never was", "", func(*log.Log) string { return "INSERT INTO nodes (level, idx, hash) VALUES (1, 1, " + zero + ")" }, []string{"node 1: belongs to no record"}},
		{"head", "heads", func(*log.Log) string { return "UPDATE heads SET root = " + zero + " WHERE size = 100" }, []string{"head 100: its root"}},
		{"head's time", "heads", func(*log.Log) string { return "UPDATE heads SET time = time - 1 WHERE size = 100" }, []string{"head 100: its time"}},
		{"last head", "heads", func(*log.Log) string { return "UPDATE heads SET root = " + zero + " WHERE size = 300" }, []string{"head 300: its root"}},
		{"attestation", "", func(*log.Log) string { return "INSERT INTO attestations (digest, seq) VALUES ('x', 1000)" }, []string{"attestation 1000: belongs to no record"}},
		{"attestation changed", "attestations", func(*log.Log) string { return "UPDATE attestations SET digest = 'att-2'" }, []string{`attestation 299: stored: ["att-2"]; the record says: ["att-1"]`}},
		{"attestation moved", "attestations", func(*log.Log) string { return "UPDATE attestations SET seq = 7" },
			[]string{`attestation 7: stored: ["att-1"]; the record says: []`, `attestation 299: stored: []; the record says: ["att-1"]`}},
		{"attestation gone", "attestations", func(*log.Log) string { return "DELETE FROM attestations" }, []string{`attestation 299: stored: []; the record says: ["att-1"]`}},
		{"attestation added", "", func(*log.Log) string { return "INSERT INTO attestations (digest, seq) VALUES ('x', 7)" }, []string{`attestation 7: stored: ["x"]; the record says: []`}},
	}
	for _, c := range []string{"time", "id", "kind", "actor", "writer", "at", "outcome", "payload", "size"} {
		value := "'other'"
		switch c {
		case "time", "at", "size":
			value = c + " + 1"
		case "payload":
			value = zero
		}
		tests = append(tests, struct {
			name   string
			tables string
			do     func(l *log.Log) string
			want   []string
		}{"column " + c, "records", func(*log.Log) string { return fmt.Sprintf("UPDATE records SET %s = %s WHERE seq = 5", c, value) },
			[]string{"record 5: not what its leaf says: " + c}})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dsn := e.empty(t)
			l := e.openAt(t, dsn)
			add(t, l, drafts("a", 100, about(tracedb.RefCommit, "c"), stating(image("sha256:a", "1")))...)
			more := append([]log.Prepared{draft("owner", stating(owner("alg-1", "o/one")))}, drafts("b", 198, about(tracedb.RefCommit, "c"), stating(owner("alg-1", "o/one"), image("sha256:b", "1")))...)
			add(t, l, append(more, draft("attested", unique("att-1"), about(tracedb.RefCommit, "c"), stating()))...)
			statements := tt.do(l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			for _, table := range strings.Fields(tt.tables) {
				statements = e.unguard(table) + statements
			}
			if err := e.exec(t, dsn, statements); err != nil {
				t.Fatal(err)
			}
			broken := e.openAt(t, dsn, withDerive, func(o *log.Options) { o.ReadOnly = true })
			report, err := broken.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			guards := 0
			for _, f := range report.Faults {
				if f.Place == log.PlaceDatabase && strings.HasPrefix(f.What, "trigger") {
					guards++ // who puts them back isn't noticed by this
					continue
				}
				got = append(got, f.String())
			}
			if (guards > 0) != (tt.tables != "") {
				t.Errorf("check says that %d triggers aren't there", guards)
			}
			missing := slices.DeleteFunc(slices.Clone(tt.want), func(want string) bool {
				return slices.ContainsFunc(got, func(got string) bool { return strings.HasPrefix(got, want) })
			})
			if len(missing) > 0 || len(got) != len(tt.want) {
				t.Errorf("check says:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// testGuards changes what keeps rows as they are in PostgreSQL, and expects Check to name it. (Of SQLite all
// of the schema is compared.)
func testGuards(t *testing.T, e engine, _ *server.Server) {
	tests := []struct{ name, do, want string }{
		{"nothing", "SELECT 1", ""},
		{"trigger gone", "DROP TRIGGER leaves_append_only ON leaves", "trigger leaves_append_only is missing"},
		{"trigger off", "ALTER TABLE leaves DISABLE TRIGGER leaves_append_only", "trigger leaves_append_only is off"},
		{"trigger that replication evades", "ALTER TABLE leaves ENABLE TRIGGER leaves_append_only", "trigger leaves_append_only is off"},
		{"trigger under a condition", `DROP TRIGGER payloads_go ON payloads;
			CREATE TRIGGER payloads_go BEFORE DELETE ON payloads FOR EACH ROW WHEN (OLD.seq <> 5) EXECUTE FUNCTION payload_goes();
			ALTER TABLE payloads ENABLE ALWAYS TRIGGER payloads_go`, "trigger payloads_go isn't as it was made"},
		{"trigger for less", `DROP TRIGGER leaves_append_only ON leaves;
			CREATE TRIGGER leaves_append_only BEFORE UPDATE OR DELETE ON leaves FOR EACH STATEMENT EXECUTE FUNCTION refuse();
			ALTER TABLE leaves ENABLE ALWAYS TRIGGER leaves_append_only`, "trigger leaves_append_only isn't as it was made"},
		{"trigger that was added", `CREATE TRIGGER more BEFORE INSERT ON leaves FOR EACH ROW EXECUTE FUNCTION refuse();
			ALTER TABLE leaves ENABLE ALWAYS TRIGGER more`, "trigger more doesn't belong here"},
		{"what a trigger calls", "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$", "function refuse isn't as it was made"},
		{"unique index gone", "DROP INDEX records_id", "index records_id is missing"},
		{"index that isn't unique", "DROP INDEX records_id; CREATE INDEX records_id ON records (writer, id)", "index records_id is missing"},
		{"index over more", "DROP INDEX records_id; CREATE UNIQUE INDEX records_id ON records (writer, id, seq)", "index records_id isn't as it was made"},
		{"index over less rows", "DROP INDEX facts_bound; CREATE UNIQUE INDEX facts_bound ON facts (tbl, key) WHERE bound = 1 AND tbl <> 'owner'", "index facts_bound isn't as it was made"},
		{"primary key gone", "ALTER TABLE attestations DROP CONSTRAINT attestations_pkey", "index attestations_pkey is missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dsn := e.empty(t)
			l := e.openAt(t, dsn)
			add(t, l, drafts("a", 3)...)
			if err := l.Rebuild(t.Context(), derive); err != nil {
				t.Fatal(err)
			}
			if err := e.exec(t, dsn, tt.do); err != nil {
				t.Fatal(err)
			}
			report, err := l.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range report.Faults {
				got = append(got, f.String())
			}
			if want := "database: " + tt.want; tt.want == "" && len(got) > 0 || tt.want != "" && !slices.Equal(got, []string{want}) {
				t.Errorf("check says %q, want %q", got, tt.want)
			}
		})
	}
}

// testRewritten makes a history that fits in itself, and shows that only a checkpoint from before tells.
func testRewritten(t *testing.T, e engine) {
	clock := logtest.Now(func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) })
	truth := e.open(t, clock)
	add(t, truth, drafts("a", 300)...)
	early := checkpoint(t, truth)
	add(t, truth, drafts("b", 300)...)
	late := checkpoint(t, truth)

	lie := e.open(t, clock)
	history := append(drafts("a", 300), drafts("b", 300)...)
	history[400].Actor = "mallory"
	add(t, lie, history...)
	sound(t, lie)
	sound(t, lie, early.Note)

	short := e.open(t, clock)
	add(t, short, drafts("a", 300)...)
	other := e.open(t, clock)
	add(t, other, drafts("x", 600)...)
	forged := append([]byte(nil), late.Note...)
	forged[len(logtest.Origin)+1]++ // the size's first digit

	tests := []struct {
		name string
		log  *log.Log
		give []byte
		want string
	}{
		{"truth", truth, late.Note, ""},
		{"a record was changed", lie, late.Note, "checkpoint 600: the log signed another tree"},
		{"records were taken from the end", short, late.Note, "checkpoint 600: the log signed a tree of 600 records, and has only 300"},
		{"all is different", other, early.Note, "checkpoint 300: the log signed another tree"},
		{"the checkpoint was changed", truth, forged, "checkpoint: number 1 of those given"},
		{"no checkpoint at all", truth, []byte("hello"), "checkpoint: number 1 of those given"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report, err := tt.log.Check(t.Context(), tt.give)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				if diff := cmp.Diff([]int64{600}, report.Checkpoints); diff != "" || !report.OK() {
					t.Errorf("%v (-want +got):\n%s", report.Faults, diff)
				}
				return
			}
			if len(report.Faults) != 1 || !strings.HasPrefix(report.Faults[0].String(), tt.want) {
				t.Errorf("check says %v, want %s", report.Faults, tt.want)
			}
		})
	}
}
