package main

import (
	"context"
	"database/sql"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/publish/publishtest"
)

// TestLastCheckpoint ends the service just after something was recorded: it is published, though what was
// published before is younger than checkpoints usually are.
func TestLastCheckpoint(t *testing.T) {
	h := newFixture(t)
	forge := publishtest.NewGitea(t)
	forge.Others = true // the service asks Gitea for more than is played here
	gitea := httptest.NewTLSServer(forge)
	t.Cleanup(gitea.Close)
	h.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: gitea.Certificate().Raw})))
	h.write("gitea-token", publishtest.Token)
	f, err := os.OpenFile(h.config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(f, "ca: %[1]s/ca.crt\ngitea: {url: %[2]q, publicURL: %[2]q, tokenFile: %[1]s/gitea-token, checkpointRepository: %[3]s}\n", h.dir, gitea.URL, publishtest.Repository)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	h.start()
	published := func() int64 {
		raw, _ := forge.Checkpoint()
		if raw == nil {
			return 0
		}
		verifier, err := note.NewVerifier(h.verifier)
		if err != nil {
			t.Fatal(err)
		}
		cp, err := tracedb.ParseCheckpoint(raw, verifier)
		if err != nil {
			t.Fatal(err)
		}
		return cp.Size
	}
	// The keyring is recorded at the start.
	h.soon("the first checkpoint", func() bool { return published() > 0 })
	h.release(apitest.NewService("druppie/dike-service", "", 7))
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if size := published(); size != h.server.log.Size() {
		t.Errorf("the last checkpoint is of %d records, the log has %d", size, h.server.log.Size())
	}
}

// TestClockAhead starts with a log that was written by a clock that was ahead: that is told.
func TestClockAhead(t *testing.T) {
	h := newFixture(t)
	signer, _, err := readSigner(h.path("checkpoint.key"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := log.Open(t.Context(), log.Options{DSN: "sqlite:" + h.path("trace.db"), Origin: signer.Name(), Signer: signer, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), "writer", []log.Prepared{incident("early")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h.start()
	if !strings.Contains(h.out.String(), "the log's time is ahead of the clock") {
		t.Error("nobody is told that the log's time stands still")
	}
	_, metrics := h.get("http://"+h.server.healthListener.Addr().String()+"/metrics", "")
	var ahead float64
	for line := range strings.Lines(metrics) {
		_, _ = fmt.Sscanf(line, "tracedb_log_ahead_seconds %g", &ahead)
	}
	if ahead < 3600 || ahead > 7200 {
		t.Errorf("the log is said to be %g seconds ahead", ahead)
	}
}

// TestBackupOnlyReads makes a backup while somebody holds the lock for writing.
func TestBackupOnlyReads(t *testing.T) {
	h := newFixture(t)
	h.start()
	db, err := sql.Open("sqlite", "file:"+h.path("trace.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	h.tool(0, "backup", h.path("backup.db"), "--config", h.config)
}
