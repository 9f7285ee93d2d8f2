// Package trust makes the connections of the pipeline's steps. It owns the one
// rule for them: TLS, from a server that the platform's CA vouches for. It
// refuses plain http, also where a library would fall back to it by itself
// (go-containerregistry tries http for names that end in .local), and it
// knows no other roots than the CA it was given.
package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// ErrPlainHTTP is the refusal of a request that isn't https.
var ErrPlainHTTP = errors.New("plain http refused")

// CA is the platform's certificate authority, as PEM.
type CA []byte

// ReadCA reads a CA from a file and checks that there is a certificate in it.
func ReadCA(path string) (CA, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the platform's CA: %w", err)
	}
	if _, err := CA(pem).pool(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return pem, nil
}

func (ca CA) pool() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate found in the CA file")
	}
	return pool, nil
}

// Transport gives an http transport that trusts this CA alone.
func (ca CA) Transport() (http.RoundTripper, error) {
	pool, err := ca.pool()
	if err != nil {
		return nil, err
	}
	// No proxy: everything that a step talks to is inside the cluster.
	return httpsOnly{&http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
	}}, nil
}

type httpsOnly struct{ next http.RoundTripper }

func (t httpsOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, fmt.Errorf("%w: %s", ErrPlainHTTP, req.URL.Host)
	}
	return t.next.RoundTrip(req)
}

// Credentials are a name and a secret, from a folder that a Kubernetes Secret
// is mounted at.
type Credentials struct{ Username, Secret string }

// ReadCredentials reads the files username and key (password, token) in dir.
func ReadCredentials(dir, key string) (Credentials, error) {
	user, err := os.ReadFile(dir + "/username")
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	secret, err := os.ReadFile(dir + "/" + key)
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	c := Credentials{strings.TrimSpace(string(user)), strings.TrimSpace(string(secret))}
	if c.Username == "" || c.Secret == "" {
		return Credentials{}, fmt.Errorf("credentials in %s are empty", dir)
	}
	return c, nil
}
