package main

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
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
	"github.com/druppie/druppie-up/tracedb/client"
)

// The tokens of those who ask the service.
const (
	writerToken  = "writer"
	auditorToken = "auditor"
	doorToken    = "door"
)

// service is cmd/tracedb as a process of its own, on a database, over TLS on loopback.
type service struct {
	url     string
	pool    *x509.CertPool
	signer  crypto.Signer // of attestations
	cmd     *exec.Cmd
	started time.Duration // from the process's begin until it answered
	stop    func() error
}

// program is cmd/tracedb, built as the platform's is.
func (b *bench) program(ctx context.Context) (string, error) {
	if b.tracedb != "" {
		return filepath.Abs(b.tracedb)
	}
	name := filepath.Join(b.dir, "tracedb")
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	b.say("service: building cmd/tracedb")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", name, "github.com/druppie/druppie-up/cmd/tracedb")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cmd/tracedb: %w\n%s", err, out)
	}
	return name, nil
}

// serve starts the service on the database that dsn names, and waits until it is ready.
func (b *bench) serve(ctx context.Context, dsn string) (_ *service, err error) {
	program, err := b.program(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(b.dir, "service")
	if err != nil {
		return nil, err
	}
	s := &service{pool: x509.NewCertPool()}
	cluster, stopCluster := authtest.StartCluster(map[string]authtest.Token{
		writerToken:  {User: "system:serviceaccount:foundry:step-record", Audiences: []string{"tracedb"}},
		auditorToken: {User: "system:serviceaccount:druppie-system:auditor", Audiences: []string{"tracedb"}},
	})
	defer func() {
		if err != nil {
			stopCluster()
		}
	}()
	listen, health, err := ports()
	if err != nil {
		return nil, err
	}
	if s.signer, err = apitest.NewKey(filepath.Join(dir, "foundry.pub")); err != nil {
		return nil, err
	}
	signing, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return nil, err
	}
	cert, key, err := certificate()
	if err != nil {
		return nil, err
	}
	s.pool.AppendCertsFromPEM(cert)
	store := dsn
	if !strings.HasPrefix(dsn, sqliteScheme) {
		store = "postgres\ndsnFile: " + filepath.Join(dir, "dsn")
	}
	for name, text := range map[string]string{
		"checkpoint.key": signing, "tls.crt": string(cert), "tls.key": string(key), "token": doorToken, "dsn": dsn,
		"kubeconfig": fmt.Sprintf(kubeconfig, cluster.Config.Host), "config.yaml": fmt.Sprintf(serviceConfig, dir, store, listen, health),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	s.url = "https://" + listen
	s.cmd = exec.Command(program, "serve", "--config", filepath.Join(dir, "config.yaml"))
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	begun := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	s.stop = func() error {
		defer stopCluster()
		if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
			return err
		}
		if err := <-ended; err != nil {
			return fmt.Errorf("the service ended with %w: %.2000s", err, out.String())
		}
		return nil
	}
	for {
		resp, err := http.Get("http://" + health + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				s.started = time.Since(begun)
				return s, nil
			}
		}
		select {
		case err := <-ended:
			return nil, fmt.Errorf("the service ended at once: %w: %.2000s", err, out.String())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.stop())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// http is a client with connections of its own, as every caller has. Kyverno's speaks HTTP/1.1.
func (s *service) http(second bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.pool, ServerName: "trace.test"}, ForceAttemptHTTP2: second, MaxIdleConnsPerHost: 64,
	}}
}

func (s *service) client(token string) *client.Client {
	return client.New(client.Options{URL: s.url, HTTP: s.http(token != doorToken), Patience: -1, Token: func(context.Context) (string, error) { return token, nil }})
}

// phase is what the service has of memory now and had at most in a phase, and begins the next one: 5 to
// clear_refs forgets the most (proc(5)).
func (s *service) phase() (resident, error) {
	pid := strconv.Itoa(s.cmd.Process.Pid)
	r, err := memoryOf(pid)
	if err != nil {
		return r, err
	}
	return r, os.WriteFile(filepath.Join("/proc", pid, "clear_refs"), []byte("5"), 0)
}

// processor is the time of processors that the service has used, in user and system mode: fields 14 and
// 15 of /proc/<pid>/stat, in hundredths of a second (proc(5)).
func (s *service) processor() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("read the processor's time: too few fields")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// ports finds two that nobody listens on.
func ports() (a, b string, err error) {
	var out [2]string
	for i := range out {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		out[i] = l.Addr().String()
	}
	return out[0], out[1], nil
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
