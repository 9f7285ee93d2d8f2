package why_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/log/logtest"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// update writes golden files anew. It is an environment variable, since a flag would be one for every
// package of a run.
var update = os.Getenv("UPDATE_GOLDEN") != ""

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func filled(t *testing.T) *log.Log {
	t.Helper()
	l := logtest.New(t, logtest.Now(whytest.Clock()))
	whytest.Fill(t, l)
	return l
}

func ask(t *testing.T, r tracedb.Reader, subject string) *why.Chain {
	t.Helper()
	ref, err := why.Subject(subject)
	if err != nil {
		t.Fatalf("subject %s: %v", subject, err)
	}
	c, err := why.Ask(t.Context(), r, ref, why.Options{})
	if err != nil {
		t.Fatalf("ask %s: %v", subject, err)
	}
	return c
}

// script is a chain as lines, for golden files.
func script(c *why.Chain) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nrepository %s, algorithm %s, truncated %v\n\nEN %s\n\nNL %s\n\n", c.Subject, c.Repository, c.Algorithm, c.Truncated, c.Answer, c.AnswerNL)
	for _, l := range c.Links {
		fmt.Fprintf(&b, "%-4s %-12s %s\n%17s %s\n", l.Step, l.Kind, l.Title, "", l.TitleNL)
	}
	b.WriteString("\n")
	for _, g := range c.Gaps {
		fmt.Fprintf(&b, "gap  %-4s %s\n%9s %s\n", g.Step, g.What, "", g.WhatNL)
	}
	return b.String()
}

func TestStories(t *testing.T) {
	l := filled(t)
	tests := []struct{ name, subject string }{
		{"image", "registry.foundry.svc.cluster.local:5000/druppie/drone-service@" + whytest.Image},
		{"refused", whytest.Refused},
		{"commit", whytest.Commit},
		{"pod", whytest.Pod},
		{"algorithm", whytest.Algorithm},
		{"repository", whytest.Repository},
		{"namespace", "namespace:" + whytest.Tenant},
		{"spec", "spec:" + whytest.Spec},
		{"pull", whytest.Pull},
		{"revision", whytest.Revision},
		{"key", whytest.Fingerprint()},
		{"record", "record:1"},
		{"run", whytest.Run},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			golden(t, tt.name+".txt", []byte(script(ask(t, l, tt.subject))))
		})
	}
}

// TestStaysOut holds that the story of one service doesn't draw in another's, which shares its fleet,
// its tenant and its key, nor its own next version.
func TestStaysOut(t *testing.T) {
	l := filled(t)
	for _, subject := range []string{whytest.Image, whytest.Pod, whytest.Commit, whytest.Run, "spec:" + whytest.Spec} {
		c := ask(t, l, subject)
		for _, link := range c.Links {
			for _, r := range link.Refs {
				if r.Value == whytest.Foreign || r.Value == whytest.Other || r.Value == whytest.Refused {
					t.Errorf("%s: record %d (%s) is about %s", subject, link.Seq, link.Kind, r)
				}
			}
			if link.Kind == tracedb.KindRead {
				t.Errorf("%s: an auditor's read is no part of the story", subject)
			}
		}
	}
}

func TestProofs(t *testing.T) {
	l := filled(t)
	c, err := why.Ask(t.Context(), l, tracedb.Ref{Type: tracedb.RefImage, Value: whytest.Image}, why.Options{Proofs: true})
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(c.Checkpoint), note.VerifierList(logtest.Verifier(t)))
	if err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
	root, err := tlog.ParseHash(strings.Split(n.Text, "\n")[2])
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Links) < 20 {
		t.Fatalf("only %d links", len(c.Links))
	}
	for _, link := range c.Links {
		if link.Proof == nil {
			t.Fatalf("record %d has no proof", link.Seq)
		}
		var proof tlog.RecordProof
		for _, h := range link.Proof.Hashes {
			hash, err := tlog.ParseHash(h)
			if err != nil {
				t.Fatal(err)
			}
			proof = append(proof, hash)
		}
		if err := tlog.CheckRecord(proof, c.Size, root, link.Seq, link.Entry.Hash()); err != nil {
			t.Errorf("record %d: %v", link.Seq, err)
		}
	}
}

func TestOrder(t *testing.T) {
	c := ask(t, filled(t), whytest.Image)
	digit := func(l why.Link) byte { return (l.Step + ":::")[1] }
	for i := 1; i < len(c.Links); i++ {
		a, b := c.Links[i-1], c.Links[i]
		if digit(a) > digit(b) || digit(a) == digit(b) && a.At.After(b.At) {
			t.Errorf("%s %s comes before %s %s", a.Step, a.Title, b.Step, b.Title)
		}
	}
}

// TestTellIsPure holds that a chain depends on its records alone, in whatever order they come: an
// archive is checked by telling it anew.
func TestTellIsPure(t *testing.T) {
	l := filled(t)
	c := ask(t, l, whytest.Image)
	var records []tracedb.Record
	for _, link := range c.Links {
		body, err := l.Payload(t.Context(), link.Seq)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, tracedb.Record{Entry: link.Entry, Payload: body})
	}
	slices.Reverse(records)
	again := why.NewChain(c.Subject, records)
	again.Size, again.Checkpoint = c.Size, c.Checkpoint
	if diff := cmp.Diff(c, again); diff != "" {
		t.Errorf("told anew (-first +second):\n%s", diff)
	}
}

func TestUnknown(t *testing.T) {
	l := filled(t)
	for _, subject := range []string{"sha256:" + strings.Repeat("0", 64), "alg-00000000", "nobody/nothing", "namespace:nowhere", "record:99999", strings.Repeat("a", 40)} {
		ref, err := why.Subject(subject)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := why.Ask(t.Context(), l, ref, why.Options{}); !errors.Is(err, tracedb.ErrNotFound) {
			t.Errorf("%s: %v, want not found", subject, err)
		}
	}
	if _, err := why.Ask(t.Context(), l, tracedb.Ref{Type: "x", Value: "'; DROP TABLE leaves"}, why.Options{}); !errors.Is(err, tracedb.ErrInvalid) {
		t.Errorf("a ref that isn't one: %v", err)
	}
}

// counter counts the reads that a question costs.
type counter struct {
	tracedb.Reader
	queries, payloads int
}

func (c *counter) Search(ctx context.Context, q tracedb.Query) (tracedb.Page, error) {
	c.queries++
	return c.Reader.Search(ctx, q)
}
func (c *counter) Entries(ctx context.Context, seqs ...int64) ([]tracedb.Entry, error) {
	c.queries++
	return c.Reader.Entries(ctx, seqs...)
}
func (c *counter) Facts(ctx context.Context, table string, keys ...string) ([]tracedb.Fact, error) {
	c.queries++
	return c.Reader.Facts(ctx, table, keys...)
}
func (c *counter) History(ctx context.Context, table, key string) ([]tracedb.Fact, error) {
	c.queries++
	return c.Reader.History(ctx, table, key)
}
func (c *counter) ByRefs(ctx context.Context, refs []tracedb.Ref, limit int) (map[tracedb.Ref][]tracedb.Entry, error) {
	c.queries++
	return c.Reader.ByRefs(ctx, refs, limit)
}
func (c *counter) Payloads(ctx context.Context, seqs ...int64) (map[int64]json.RawMessage, error) {
	c.queries++
	c.payloads += len(seqs)
	return c.Reader.Payloads(ctx, seqs...)
}
func (c *counter) Payload(ctx context.Context, seq int64) (json.RawMessage, error) {
	c.queries++
	c.payloads++
	return c.Reader.Payload(ctx, seq)
}

// TestFewReads bounds what a question costs, whatever the log's size: time can't be tested, this can.
func TestFewReads(t *testing.T) {
	l := filled(t)
	for _, subject := range []string{whytest.Image, whytest.Pod, whytest.Algorithm, whytest.Repository, whytest.Commit} {
		c := &counter{Reader: l}
		chain := ask(t, c, subject)
		if c.queries > 20 {
			t.Errorf("%s: %d queries", subject, c.queries)
		}
		if c.payloads > len(chain.Links)+2 {
			t.Errorf("%s: %d payloads for %d links", subject, c.payloads, len(chain.Links))
		}
	}
}

// TestBounded asks about an image that is refused again and again, as a reconciler tries.
func TestBounded(t *testing.T) {
	l := filled(t)
	var many []log.Prepared
	for i := range 2000 {
		payload, _ := json.Marshal(tracedb.Admission{Namespace: whytest.Tenant, Images: []string{whytest.Image}, Policy: "register", Reason: fmt.Sprintf("no, for the %dth time", i)})
		many = append(many, log.Prepared{Draft: tracedb.Draft{ID: fmt.Sprint("again-", i), Kind: tracedb.KindAdmission, Actor: "kyverno", Outcome: tracedb.Denied, Payload: payload,
			Refs: []tracedb.Ref{{Type: tracedb.RefImage, Value: whytest.Image}, {Type: tracedb.RefPod, Value: fmt.Sprintf("drones/again-%d", i)}, {Type: tracedb.RefNamespace, Value: whytest.Tenant}}}})
	}
	if _, err := l.Append(t.Context(), "tracedb", many); err != nil {
		t.Fatal(err)
	}
	c := &counter{Reader: l}
	chain := ask(t, c, whytest.Image)
	if !chain.Truncated {
		t.Error("nobody is told that there is more")
	}
	if len(chain.Links) > 200 || c.queries > 40 {
		t.Errorf("%d links in %d queries", len(chain.Links), c.queries)
	}
	if !strings.Contains(chain.Answer, "1999th time") {
		t.Errorf("the newest refusal isn't in the answer: %s", chain.Answer)
	}
	if !slices.ContainsFunc(chain.Links, func(l why.Link) bool { return l.Kind == tracedb.KindProvenance }) {
		t.Error("the oldest evidence is missing")
	}
}
