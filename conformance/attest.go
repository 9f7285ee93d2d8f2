package conformance

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
)

// platformRevision is the Kustomization that applies the platform's own repository.
const platformRevision = "flux-system"

// Attest signs a report with the platform's conformance key, as a record for its trace. What it is about is the
// commit of the platform's repository that was applied when the run ended.
func (p Platform) Attest(ctx context.Context, rep Report) (tracedb.Draft, error) {
	commit := rep.Tested.commit()
	if commit == "" {
		return tracedb.Draft{}, errors.New("the report names no commit of the platform's repository, so it is about nothing that the trace knows")
	}
	secret, err := p.Kube.CoreV1().Secrets(names.NamespaceSystem).Get(ctx, names.ConformanceKey, metav1.GetOptions{})
	if err != nil {
		return tracedb.Draft{}, fmt.Errorf("read the key that reports are signed with: %w", err)
	}
	signer, err := parseSigner(secret.Data[names.ConformanceKeyFile])
	if err != nil {
		return tracedb.Draft{}, fmt.Errorf("secret %s/%s: %w", names.NamespaceSystem, names.ConformanceKey, err)
	}
	report, err := json.Marshal(rep)
	if err != nil {
		return tracedb.Draft{}, err
	}
	about := attest.About{Repository: names.Organisation + "/" + names.RepoPlatform, Commit: commit}
	envelope, err := attest.Sign(signer, attest.ConformanceReport(about, report))
	if err != nil {
		return tracedb.Draft{}, err
	}
	unique, err := attest.Unique(envelope)
	if err != nil {
		return tracedb.Draft{}, err
	}
	return tracedb.Draft{ID: "conformance/" + unique, Kind: tracedb.KindConformance, At: rep.Ended, Payload: envelope}, nil
}

// Attested reads the report in a record of the trace, which verified the signature when it took it.
func Attested(rec tracedb.Record) (Report, error) {
	if rec.Disposed {
		return Report{}, fmt.Errorf("record %d: its term is over, and the report is disposed of", rec.Seq)
	}
	if rec.Kind != tracedb.KindConformance {
		return Report{}, fmt.Errorf("record %d is of the kind %s, not %s", rec.Seq, rec.Kind, tracedb.KindConformance)
	}
	st, err := attest.Decode(rec.Kind, rec.Payload)
	if err != nil {
		return Report{}, fmt.Errorf("record %d: %w", rec.Seq, err)
	}
	return ReadReport(st.Predicate)
}

// commit is that of the platform's repository; empty where Flux follows none.
func (t Tested) commit() string {
	i := slices.IndexFunc(t.Revisions, func(r Revision) bool { return r.Name == platformRevision })
	if i < 0 {
		return ""
	}
	_, commit, _ := strings.Cut(t.Revisions[i].Revision, "@sha1:")
	return commit
}

func parseSigner(text []byte) (crypto.Signer, error) {
	if len(text) == 0 {
		return nil, fmt.Errorf("no key at %s", names.ConformanceKeyFile)
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(text, cryptoutils.SkipPassword)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T signs nothing", key)
	}
	return signer, nil
}
