package pki_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/bootstrap/pki"
)

var request = pki.Request{
	DNS: []string{"registry.foundry.svc.cluster.local", "*.druppie.localhost"},
	IPs: []string{"10.96.0.50", "127.0.0.1"},
}

func newCA(t *testing.T) pki.CA {
	t.Helper()
	ca, err := pki.NewCA("Druppie test")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func parse(t *testing.T, b []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(b)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIssuedCertificateIsTrustedThroughOurCAOnly(t *testing.T) {
	ours, foreign := newCA(t), newCA(t)
	leaf, err := ours.Issue(request)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		ca   pki.CA
		host string
		want bool
	}{
		{"service name", ours, "registry.foundry.svc.cluster.local", true},
		{"browser name", ours, "gitea.druppie.localhost", true},
		{"cluster address", ours, "10.96.0.50", true},
		{"another name", ours, "gitea.example.org", false},
		{"another address", ours, "10.96.0.51", false},
		{"another authority", foreign, "registry.foundry.svc.cluster.local", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, leaf.Cert).Verify(x509.VerifyOptions{Roots: pool(t, c.ca.Cert), DNSName: c.host})
			if got := err == nil; got != c.want {
				t.Errorf("verified = %v (%v), want %v", got, err, c.want)
			}
		})
	}
}

func TestIssuedPairServesTLS(t *testing.T) {
	ca := newCA(t)
	leaf, err := ca.Issue(request)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(leaf.Cert, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.StartTLS()
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, ca.Cert)}}}
	resp, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestLifetimesAndKeys(t *testing.T) {
	ca := newCA(t)
	leaf, err := ca.Issue(request)
	if err != nil {
		t.Fatal(err)
	}
	year := time.Now().AddDate(1, 0, 0)
	for name, b := range map[string][]byte{"ca": ca.Cert, "leaf": leaf.Cert} {
		cert := parse(t, b)
		if cert.NotAfter.Before(year) {
			t.Errorf("%s ends %s, want a year or more", name, cert.NotAfter)
		}
		if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
			t.Errorf("%s: key is %T, want P-256", name, cert.PublicKey)
		}
	}
	if parse(t, leaf.Cert).IsCA {
		t.Error("the leaf may issue certificates")
	}
}

func TestLoadCA(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	leaf, err := ca.Issue(request)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		pair pki.Pair
		want bool
	}{
		{"as made", ca.Pair, true},
		{"key of another", pki.Pair{Cert: ca.Cert, Key: other.Key}, false},
		{"a leaf", leaf, false},
		{"two certificates", pki.Pair{Cert: append(bytes.Clone(ca.Cert), other.Cert...), Key: ca.Key}, false},
		{"nothing", pki.Pair{}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := pki.LoadCA(c.pair); (err == nil) != c.want {
				t.Errorf("LoadCA: %v, want ok = %v", err, c.want)
			}
		})
	}
}

func TestServes(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	leaf, err := ca.Issue(request)
	if err != nil {
		t.Fatal(err)
	}
	renamed := pki.Request{DNS: append([]string{"new"}, request.DNS...), IPs: request.IPs}
	cases := []struct {
		name   string
		ca     pki.CA
		cert   []byte
		req    pki.Request
		margin time.Duration
		want   bool
	}{
		{"as issued", ca, leaf.Cert, request, time.Hour, true},
		{"ends within the margin", ca, leaf.Cert, request, 3 * 365 * 24 * time.Hour, false},
		{"names changed", ca, leaf.Cert, renamed, time.Hour, false},
		{"another authority", other, leaf.Cert, request, time.Hour, false},
		{"no certificate", ca, nil, request, time.Hour, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.ca.StillValid(c.cert, c.req, c.margin); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestSigningKeySignsAndOpensOnlyWithItsPassword(t *testing.T) {
	key, err := pki.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cosign.LoadPrivateKey(key.Private, key.Password, nil)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.SignMessage(bytes.NewReader([]byte("digest")))
	if err != nil {
		t.Fatal(err)
	}
	pub, err := cosign.PemToECDSAKey(key.Public)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := signature.LoadVerifier(pub, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader([]byte("digest"))); err != nil {
		t.Errorf("own signature: %v", err)
	}
	if verifier.VerifySignature(bytes.NewReader(sig), bytes.NewReader([]byte("other"))) == nil {
		t.Error("a signature holds for another digest")
	}
	if _, err := cosign.LoadPrivateKey(key.Private, []byte("wrong"), nil); err == nil {
		t.Error("the key opens with a wrong password")
	}
}

func TestSecretsDifferAndHash(t *testing.T) {
	a, b := pki.Secret(), pki.Secret()
	if a == b || len(a) != 43 {
		t.Errorf("secrets %q and %q", a, b)
	}
	h, err := pki.Hash(a)
	if err != nil {
		t.Fatal(err)
	}
	if bcrypt.CompareHashAndPassword([]byte(h), []byte(a)) != nil {
		t.Error("the hash refuses its password")
	}
	if bcrypt.CompareHashAndPassword([]byte(h), []byte(b)) == nil {
		t.Error("the hash takes another password")
	}
}

func TestNoteKeySignsUnderItsName(t *testing.T) {
	key, err := pki.NewNoteKey("druppie.io/trace/test")
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewNoteKey("druppie.io/trace/test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(key.Signer)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := note.Sign(&note.Note{Text: "druppie.io/trace/test\n1\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for verifierKey, want := range map[string]bool{key.Verifier: true, other.Verifier: false} {
		v, err := note.NewVerifier(verifierKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(msg, note.VerifierList(v)); (err == nil) != want {
			t.Errorf("opened with %s: %v, want ok = %v", verifierKey, err, want)
		}
	}
}

// pool trusts one authority and no other.
func pool(t *testing.T, caPEM []byte) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(caPEM) {
		t.Fatal("no certificate in the CA")
	}
	return pool
}
