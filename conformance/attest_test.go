package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
)

// TestReportIsSignedWithThePlatformsKey signs every kind of report, and reads it back from what the trace would hold.
func TestReportIsSignedWithThePlatformsKey(t *testing.T) {
	key, err := pki.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "conformance.pub")
	if err := os.WriteFile(file, key.Public, 0o600); err != nil {
		t.Fatal(err)
	}
	ring, err := attest.LoadKeyring([]attest.KeyFile{{Name: "conformance", File: file, Kinds: []tracedb.Kind{tracedb.KindConformance}}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	f.Kube = kubefake.NewClientset(secret("conformance-key", "conformance.key", key.Private))
	commit := strings.Repeat("fe", 20)
	want := map[string]tracedb.Outcome{"check": tracedb.Failed, "mutate": tracedb.Failed}
	for name, rep := range reports(t) {
		t.Run(name, func(t *testing.T) {
			if _, err := f.Attest(t.Context(), rep); err == nil || !strings.Contains(err.Error(), "no commit") {
				t.Errorf("a report about nothing: %v", err)
			}
			rep.Tested.Revisions = append(rep.Tested.Revisions, conformance.Revision{Name: "flux-system", Revision: "main@sha1:" + commit})
			draft, err := f.Attest(t.Context(), rep)
			if err != nil {
				t.Fatal(err)
			}
			again, err := f.Attest(t.Context(), rep)
			if err != nil || again.ID != draft.ID {
				t.Errorf("the same report twice would be two records: %s, %s (%v)", draft.ID, again.ID, err)
			}
			verified, err := ring.Verify(tracedb.KindConformance, draft.Payload, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			read, err := attest.Read(tracedb.KindConformance, verified.Statement)
			if err != nil {
				t.Fatal(err)
			}
			if read.Commit != commit || read.Repository != "druppie/platform" {
				t.Errorf("it is about %s in %q", read.Commit, read.Repository)
			}
			if outcome, ok := want[name]; ok && read.Outcome != outcome {
				t.Errorf("outcome %s (%s), want %s", read.Outcome, read.Summary, outcome)
			}
			rec := tracedb.Record{Entry: tracedb.Entry{Seq: 7, Kind: draft.Kind}, Payload: draft.Payload}
			got, err := conformance.Attested(rec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rep, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
	for why, rec := range map[string]tracedb.Record{
		"disposed": {Entry: tracedb.Entry{Kind: tracedb.KindConformance}, Disposed: true},
		"kind":     {Entry: tracedb.Entry{Kind: tracedb.KindVerdict}},
	} {
		if _, err := conformance.Attested(rec); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestReportIsntSignedWithoutAKey(t *testing.T) {
	rep := conformance.Report{Tested: conformance.Tested{Revisions: []conformance.Revision{{Name: "flux-system", Revision: "main@sha1:" + strings.Repeat("fe", 20)}}}}
	for why, s := range map[string]*corev1.Secret{
		"not found": secret("another", "conformance.key", nil),
		"no key":    secret("conformance-key", "other", nil),
		"read the":  secret("conformance-key", "conformance.key", []byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n")),
	} {
		f := newFixture(t)
		f.Kube = kubefake.NewClientset(s)
		if _, err := f.Attest(t.Context(), rep); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func secret(name, key string, value []byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "druppie-system", Name: name}, Data: map[string][]byte{key: value}}
}
