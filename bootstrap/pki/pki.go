// Package pki makes the platform's keys: one certificate authority, the
// certificates it issues, the key the foundry signs images with, the one a log
// signs its checkpoints with, and random secrets. It keeps nothing: whoever asks
// stores what it returns. It refuses weak or legacy material; every key is ECDSA
// P-256, but for the checkpoints' (Ed25519, as signed notes are), and every
// secret comes from the operating system's generator.
package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

const (
	caLifetime = 10 * 365 * 24 * time.Hour
	// Browsers distrust certificates that live longer than 825 days.
	leafLifetime = 820 * 24 * time.Hour
	// A clock that runs behind must not refuse a certificate of a second ago.
	backdate = time.Hour
)

// Pair is a certificate and its private key, both PEM.
type Pair struct {
	Cert []byte
	Key  []byte
}

// CA is a certificate authority that can issue.
type CA struct {
	Pair
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Request says whom a certificate is for.
type Request struct {
	DNS []string
	IPs []string
}

// NewCA makes an authority whose common name tells its platform apart from
// others in a browser's list.
func NewCA(commonName string) (CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return CA{}, fmt.Errorf("generate ca key: %w", err)
	}
	tmpl := template(commonName, caLifetime)
	tmpl.IsCA = true
	tmpl.BasicConstraintsValid = true
	tmpl.MaxPathLenZero = true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return CA{}, fmt.Errorf("create ca certificate: %w", err)
	}
	pair, err := encode(der, key)
	if err != nil {
		return CA{}, err
	}
	return LoadCA(pair)
}

// LoadCA reads an authority that was made before.
func LoadCA(p Pair) (CA, error) {
	cert, err := parseCert(p.Cert)
	if err != nil {
		return CA{}, fmt.Errorf("read ca certificate: %w", err)
	}
	if !cert.IsCA {
		return CA{}, errors.New("read ca certificate: it may not issue certificates")
	}
	block, _ := pem.Decode(p.Key)
	if block == nil {
		return CA{}, errors.New("read ca key: no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return CA{}, fmt.Errorf("read ca key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return CA{}, fmt.Errorf("read ca key: want ECDSA, got %T", parsed)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return CA{}, errors.New("read ca: key and certificate don't belong together")
	}
	return CA{Pair: p, cert: cert, key: key}, nil
}

// Issue makes a server certificate. The chain in the result ends below the CA,
// which clients hold already.
func (ca CA) Issue(req Request) (Pair, error) {
	if len(req.DNS) == 0 {
		return Pair{}, errors.New("issue certificate: no name asked for")
	}
	ips, err := parseIPs(req.IPs)
	if err != nil {
		return Pair{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("generate key for %s: %w", req.DNS[0], err)
	}
	tmpl := template(req.DNS[0], leafLifetime)
	tmpl.DNSNames = req.DNS
	tmpl.IPAddresses = ips
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate for %s: %w", req.DNS[0], err)
	}
	return encode(der, key)
}

// StillValid says whether a certificate still does what is asked: issued by this
// authority, for exactly these names, and good for at least margin more.
func (ca CA) StillValid(certPEM []byte, req Request, margin time.Duration) bool {
	cert, err := parseCert(certPEM)
	if err != nil || cert.CheckSignatureFrom(ca.cert) != nil {
		return false
	}
	ips, err := parseIPs(req.IPs)
	if err != nil {
		return false
	}
	sameIPs := slices.EqualFunc(cert.IPAddresses, ips, net.IP.Equal)
	return sameIPs && slices.Equal(cert.DNSNames, req.DNS) && time.Now().Add(margin).Before(cert.NotAfter)
}

// template has no serial number: a random one is made when it is signed.
func template(commonName string, lifetime time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: commonName, Organization: []string{"Druppie"}},
		NotBefore: now.Add(-backdate),
		NotAfter:  now.Add(lifetime),
	}
}

func encode(der []byte, key *ecdsa.PrivateKey) (Pair, error) {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}, nil
}

func parseCert(b []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("want exactly one PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseIPs(in []string) ([]net.IP, error) {
	var out []net.IP
	for _, s := range in {
		ip := net.ParseIP(s)
		if ip == nil {
			return nil, fmt.Errorf("issue certificate: %q is no IP address", s)
		}
		out = append(out, ip)
	}
	return out, nil
}
