package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
	"github.com/druppie/druppie-up/tracedb/client"
)

// The tokens of those who call the service.
const (
	writerToken    = "writer"
	auditorToken   = "auditor"
	admissionToken = "admission"
)

// process is cmd/tracedb as a process of its own, on a database, over TLS on loopback.
type process struct {
	url     string
	pool    *x509.CertPool
	signer  crypto.Signer // of attestations
	cmd     *exec.Cmd
	started time.Duration // from the process's begin until it was ready
	stop    func()
}

// buildService builds cmd/tracedb as the platform's is, unless a program was given.
func buildService(t testing.TB, dir string) string {
	t.Helper()
	if *program != "" {
		return *program
	}
	name := filepath.Join(dir, "tracedb")
	if _, err := os.Stat(name); err == nil {
		return name
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", name, "github.com/druppie/druppie-up/cmd/tracedb")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build cmd/tracedb: %v\n%s", err, out)
	}
	return name
}

// startService starts the service on a database, and waits until it is ready.
func startService(t testing.TB, e engine, dsn string) *process {
	t.Helper()
	name := buildService(t, e.dir)
	dir := t.TempDir()
	s := &process{pool: x509.NewCertPool()}
	cluster := authtest.NewCluster(t, map[string]authtest.Token{
		writerToken:  {User: writer, Audiences: []string{"tracedb"}},
		auditorToken: {User: "system:serviceaccount:druppie-system:auditor", Audiences: []string{"tracedb"}},
	})
	listen, health := freeAddress(t), freeAddress(t)
	cert, key, err := certificate()
	if err != nil {
		t.Fatal(err)
	}
	s.pool.AppendCertsFromPEM(cert)
	if s.signer, err = apitest.NewKey(filepath.Join(dir, "foundry.pub")); err != nil {
		t.Fatal(err)
	}
	signing, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	store := dsn
	if e.server != nil {
		store = "postgres\ndsnFile: " + filepath.Join(dir, "dsn")
	}
	for name, text := range map[string]string{
		"checkpoint.key": signing, "tls.crt": string(cert), "tls.key": string(key), "token": admissionToken, "dsn": dsn,
		"kubeconfig": fmt.Sprintf(kubeconfig, cluster.Config.Host), "config.yaml": fmt.Sprintf(serviceConfig, dir, store, listen, health),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.url = "https://" + listen
	s.cmd = exec.Command(name, "serve", "--config", filepath.Join(dir, "config.yaml"))
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	s.stop = func() {
		if err := errors.Join(s.cmd.Process.Signal(os.Interrupt), <-ended); err != nil {
			t.Errorf("the service ended with %v: %.2000s", err, out.String())
		}
	}
	for {
		resp, err := http.Get("http://" + health + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				s.started = time.Since(begun)
				return s
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("the service ended at once: %v: %.2000s", err, out.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// client is one with connections of its own, as every caller has. Kyverno's speaks HTTP/1.1.
func (s *process) client(token string) *client.Client {
	return client.New(client.Options{
		URL: s.url, Patience: -1, Token: func(context.Context) (string, error) { return token, nil },
		HTTP: &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: s.pool, ServerName: "trace.test"},
			ForceAttemptHTTP2: token != admissionToken, MaxIdleConnsPerHost: 64,
		}},
	})
}

// peak is the most memory that the service had in use until now, in MiB, as Linux counts it.
func (s *process) peak(t testing.TB) float64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(raw), "VmHWM:")
	var kibibytes int64
	if _, err := fmt.Sscan(value, &kibibytes); err != nil {
		t.Fatalf("read VmHWM: %v", err)
	}
	return float64(kibibytes) / (1 << 10)
}

// freeAddress is one that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func certificate() (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "trace.test"}, DNSNames: []string{"trace.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: bench, cluster: {server: %s}}]
contexts: [{name: bench, context: {cluster: bench, user: bench}}]
users: [{name: bench, user: {}}]
current-context: bench
`

const serviceConfig = `name: bench
store: %[2]s
listen: %[3]s
health: %[4]s
tls: {cert: %[1]s/tls.crt, key: %[1]s/tls.key}
signingKey: %[1]s/checkpoint.key
keyring: [{name: foundry, file: %[1]s/foundry.pub, kinds: ["*"]}]
audience: tracedb
kubeconfig: %[1]s/kubeconfig
admissionTokenFile: %[1]s/token
roles:
  - {subject: "system:serviceaccount:foundry:step-record", roles: [writer], kinds: [provenance, test-result, vulns, verdict, image, signature, register]}
  - {subject: "system:serviceaccount:druppie-system:auditor", roles: [auditor]}
`
