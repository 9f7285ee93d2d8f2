package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/register/registertest"
)

// What has ended is registered although nothing was released, and nothing else is.
func TestWithdraw(t *testing.T) {
	records := &traceStub{t: t}
	b, trace := newFixture(t, records)
	entry := registertest.Source("alg-d1jk3vl8")
	with := func(old, new string) string { return strings.Replace(entry, old, new, 1) }
	prohibited := with("type: niet-impactvol algoritme", "type: AI-systeem\n  risk_group: verboden AI")
	for _, tt := range []struct {
		name, entry, registered string
		says                    string
		want                    bool
	}{
		{"in use", entry, "", "nothing to withdraw", false},
		{"out of use", with("In gebruik", "Buiten gebruik"), "", "Buiten gebruik", true},
		{"out of use, over an older version", with("In gebruik", "Buiten gebruik"), b.git.Commits[0], "recorded: 0 register/druppie/drone-service@", true},
		{"out of use, but a newer one is registered", with("In gebruik", "Buiten gebruik"), b.git.Commits[2], "is newer", false},
		{"out of use, over an entry whose commit is nowhere", with("In gebruik", "Buiten gebruik"), strings.Repeat("f", 40), "recorded: 0 register/druppie/drone-service@", true},
		{"prohibited by the AI Act", prohibited, "", "verboden AI", true},
		{"prohibited, and wrong besides", prohibited + "wings: 2\n", "", "nothing to withdraw", false},
		{"no entry at all", "", "", "nothing to withdraw", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			records.drafts, records.registered = nil, tt.registered
			write(t, b.dir, "source/algorithm.yaml", tt.entry)
			out, err := b.withdraw(trace)
			if err != nil || !strings.Contains(out, tt.says) {
				t.Errorf("%v, said %q", err, out)
			}
			if got := len(records.drafts) == 1 && records.drafts[0].Kind == tracedb.KindRegister; got != tt.want || len(records.drafts) > 1 {
				t.Errorf("recorded %+v", records.drafts)
			}
		})
	}
	t.Run("a link out of the source", func(t *testing.T) {
		records.drafts = nil
		name := b.file("source/algorithm.yaml")
		elsewhere := write(t, b.dir, "elsewhere.yaml", with("In gebruik", "Buiten gebruik"))
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..", filepath.Base(elsewhere)), name); err != nil {
			t.Fatal(err)
		}
		if out, err := b.withdraw(trace); err == nil || len(records.drafts) > 0 {
			t.Errorf("%q, %v, recorded %+v", out, err, records.drafts)
		}
	})
}

func (b fixture) withdraw(traceURL string) (string, error) {
	return run("withdraw", "--trace", traceURL, "--token-file", b.file("token"), "--source", b.file("source"), "--forge", b.git.Address,
		"--repository=druppie/drone-service", "--revision="+b.commit(), "--ca-file", b.caFile)
}
