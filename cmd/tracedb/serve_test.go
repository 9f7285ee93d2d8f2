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
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/api/apitest"
	"github.com/druppie/druppie-up/tracedb/auth/authtest"
	"github.com/druppie/druppie-up/tracedb/client"
)

// Who asks, by the tokens of the fixture's cluster.
const (
	writer  = "token-of-the-record-step"
	auditor = "token-of-the-auditor"
	foreign = "token-for-the-cluster-itself"
	admits  = "token-of-admission"
)

// fixture is a folder with everything that the service needs, and the service in this process, wired as
// the command wires it.
type fixture struct {
	t        *testing.T
	dir      string
	config   string
	verifier string
	signer   crypto.Signer // the foundry's
	cluster  *authtest.Cluster
	pool     *x509.CertPool

	server *server
	out    *lines
	stop   func() error
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(b) }
func (l *lines) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

func newFixture(t *testing.T) *fixture {
	t.Helper()
	h := &fixture{t: t, dir: t.TempDir(), pool: x509.NewCertPool(), out: &lines{}}
	h.certificate("trace.test")
	h.write("token", admits)
	h.write("hook", "secret-of-the-webhooks")
	var err error
	if h.signer, err = apitest.NewKey(h.path("foundry.pub")); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := command(t.Context(), "keygen", "--name", "druppie", h.path("checkpoint.key"))
	if code != 0 {
		t.Fatalf("keygen: %s", errOut)
	}
	h.verifier = strings.TrimSpace(out)
	h.write("checkpoint.pub", out)
	h.cluster = authtest.NewCluster(t, map[string]authtest.Token{
		writer:  {User: "system:serviceaccount:foundry:step-record", Audiences: []string{"tracedb"}},
		auditor: {User: "system:serviceaccount:druppie-system:auditor", Audiences: []string{"tracedb"}},
		foreign: {User: "system:serviceaccount:foundry:step-record", Audiences: []string{"https://kubernetes.default.svc"}},
	})
	h.config = h.write("config.yaml", fmt.Sprintf(`
name: druppie
store: sqlite:%[1]s/trace.db
listen: "127.0.0.1:0"
health: "127.0.0.1:0"
tls: {cert: %[1]s/tls.crt, key: %[1]s/tls.key}
signingKey: %[1]s/checkpoint.key
keyring: [{name: foundry, file: %[1]s/foundry.pub, kinds: ["*"]}]
audience: tracedb
admissionTokenFile: %[1]s/token
giteaWebhookSecretFile: %[1]s/hook
roles:
  - {subject: "system:serviceaccount:foundry:step-record", roles: [writer], kinds: ["provenance","test-result","vulns","verdict","image","signature","promotion","register"]}
  - {subject: "system:serviceaccount:druppie-system:auditor", roles: [auditor]}
`, h.dir))
	return h
}

func (h *fixture) path(name string) string { return filepath.Join(h.dir, name) }

func (h *fixture) write(name, text string) string {
	h.t.Helper()
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return h.path(name)
}

// certificate makes a certificate that signs itself, and trusts it.
func (h *fixture) certificate(name string) {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		h.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	h.pool.AppendCertsFromPEM(cert)
	h.write("tls.crt", string(cert))
	h.write("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// start runs the service until stop, which returns what run returned.
func (h *fixture) start() {
	h.t.Helper()
	c, err := loadConfig(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	logger := slog.New(slog.NewJSONHandler(h.out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if h.server, err = start(ctx, c, environment{logger: logger, kube: h.cluster.Config}); err != nil {
		h.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.server.run(ctx) }()
	h.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	h.t.Cleanup(func() { _ = h.stop() })
	h.soon("ready", func() bool { return h.server.health.ready.Load() })
}

// http trusts the service's certificate for its name, wherever it listens.
func (h *fixture) http(name string) *http.Client {
	address := h.server.listener.Addr().String()
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		},
		TLSClientConfig:   &tls.Config{RootCAs: h.pool, ServerName: name},
		ForceAttemptHTTP2: true,
	}
	h.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

func (h *fixture) client(token string) *client.Client {
	return client.New(client.Options{
		URL: "https://trace.test", HTTP: h.http("trace.test"), Patience: -1,
		Token: func(context.Context) (string, error) { return token, nil },
	})
}

// get asks for a path and gives status and body.
func (h *fixture) get(address, token string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	c := http.DefaultClient
	if strings.HasPrefix(address, "https:") {
		c = h.http("trace.test")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// release sends what the pipeline would, and fails if it isn't taken.
func (h *fixture) release(s apitest.Service) []tracedb.Receipt {
	h.t.Helper()
	drafts, err := apitest.Release(h.signer, s)
	if err != nil {
		h.t.Fatal(err)
	}
	receipts, err := h.client(writer).Record(h.t.Context(), drafts)
	if err != nil {
		h.t.Fatal(err)
	}
	return receipts
}

// soon waits for what comes about by itself, and fails if it doesn't.
func (h *fixture) soon(what string, done func() bool) {
	h.t.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	out := h.out.String()
	h.t.Fatalf("still not: %s\n%s", what, out[max(0, len(out)-4000):])
}

// tool runs a command of tracedb's, and holds its exit code.
func (h *fixture) tool(want int, args ...string) (out, errOut string) {
	h.t.Helper()
	code, out, errOut := command(h.t.Context(), args...)
	if code != want {
		h.t.Fatalf("tracedb %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errOut)
	}
	return out, errOut
}
