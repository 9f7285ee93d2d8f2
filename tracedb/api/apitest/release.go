// Package apitest makes what a foundry sends when it releases a service, for tests and measurements
// that go through the API: signed with a key of the caller's, and complete enough to be let in. It owns
// no assertions and keeps nothing.
package apitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest"
	"github.com/druppie/druppie-up/tracedb/why/whytest"
)

// Service is a service that is released.
type Service struct {
	Repository string
	Algorithm  string // its id in the register; empty: it registers nothing
	Status     string // in the register: In gebruik
	Commit     string
	Image      string // digest
	Run        string
}

// NewService makes up a service's commit, image and run from its names and a number.
func NewService(repository, algorithm string, n int) Service {
	sum := func(what string) string {
		h := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", what, repository, n))
		return hex.EncodeToString(h[:])
	}
	return Service{
		Repository: repository, Algorithm: algorithm, Status: "In gebruik",
		Commit: sum("commit")[:40], Image: "sha256:" + sum("image"), Run: fmt.Sprintf("foundry/release-%d", n),
	}
}

// Name is the image's name with its digest, as a workload has it.
func (s Service) Name() string {
	return names.RegistryHost + "/" + s.Repository + "@" + s.Image
}

// Release is what the record step of the pipeline writes about the service: attestations signed by
// signer, the image, its signature and the register entry.
func Release(signer crypto.Signer, s Service) ([]tracedb.Draft, error) {
	// Of the log's own clock nothing is known here; what happened, happened a while ago.
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	about := attest.About{Image: names.RegistryHost + "/" + s.Repository, Digest: s.Image, Repository: s.Repository, Commit: s.Commit, Run: s.Run}
	var drafts []tracedb.Draft
	var errs []error
	add := func(kind tracedb.Kind, payload any) {
		raw, err := json.Marshal(payload)
		errs = append(errs, err)
		drafts = append(drafts, tracedb.Draft{ID: fmt.Sprintf("%s/%s", s.Run, kind), Kind: kind, Payload: raw})
	}
	attested := func(kind tracedb.Kind, st attest.Statement) {
		envelope, err := attest.Sign(signer, st)
		errs = append(errs, err)
		add(kind, envelope)
	}
	attested(tracedb.KindTestResult, attest.TestResult(about, attest.Tests{Suite: "python -m unittest", Passed: []string{"test_plan", "test_margin"}}))
	attested(tracedb.KindVulns, attest.Vulns(about, attest.Scan{
		Scanner: "https://trivy.dev", Version: "0.65.0", DB: "https://druppie.io/cve-db", DBVersion: "2", DBUpdated: at,
		Started: at, Finished: at.Add(time.Second), Result: "PASSED",
		Found: []attest.Vulnerability{{ID: "CVE-2025-0001", Severity: "low", Package: "zlib@1.3"}},
	}))
	attested(tracedb.KindVerdict, attest.Verdict(about, attest.Gate{Verifier: "https://druppie.io/foundry", Created: at, Passed: []string{"FOUNDRY_TESTS", "FOUNDRY_SCAN"}}))
	attested(tracedb.KindProvenance, attest.Provenance(about, attest.Build{
		Builder: "https://druppie.io/foundry/kaniko", Source: "https://" + names.GiteaHost + "/" + s.Repository,
		Started: at, Finished: at.Add(time.Minute),
	}))
	add(tracedb.KindImage, tracedb.Image{Image: about.Image, Digest: s.Image, Repository: s.Repository, Commit: s.Commit, Run: s.Run})
	add(tracedb.KindSignature, tracedb.Signature{Digest: s.Image, Key: attest.Fingerprint(signer.Public()), Run: s.Run, Commit: s.Commit})
	if s.Algorithm != "" {
		add(tracedb.KindRegister, tracedb.RegisterEntry{Repository: s.Repository, Commit: s.Commit, Source: whytest.Source(s.Algorithm, s.Status)})
	}
	return drafts, errors.Join(errs...)
}

// NewKey makes a signing key as cosign does, and writes its public half as PEM to the file.
func NewKey(file string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.Public())
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(file, public, 0o644)
}
