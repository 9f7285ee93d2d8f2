// Package httpclient makes the clients that talk https to the platform. It owns their one rule: TLS 1.2 or
// later, from a server that the given authority vouches for and no other. It refuses plain http, also where a
// library would fall back to it by itself (go-containerregistry does for names that end in .local), and
// redirects to another host, where a token would follow.
package httpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

var (
	// ErrPlainHTTP is the refusal of a request that isn't https.
	ErrPlainHTTP = errors.New("plain http refused")
	// ErrOtherHost is the refusal of an answer that leads to another host.
	ErrOtherHost = errors.New("the answer leads elsewhere, where no token is sent")
)

// Options say whom a client trusts and how it reaches them.
type Options struct {
	CA []byte // PEM: the only authority that is trusted
	// SystemCAs trusts the authorities of this machine where CA is empty, which is an error otherwise: a file
	// that came to nothing must not widen the trust.
	SystemCAs bool
	// Dial opens connections, where names mean something else than resolvers say; nil: the usual way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Proxy takes the proxy that the environment names: for servers outside of the platform.
	Proxy bool
	// Timeout of a request, to the end of its answer. 0: none, a context ends it.
	Timeout time.Duration
}

// New returns a client. It fails if CA holds no certificate, unless it is empty and SystemCAs is set.
func New(o Options) (*http.Client, error) {
	t, err := Transport(o)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t, Timeout: o.Timeout, CheckRedirect: CheckRedirect}, nil
}

// Transport is the client's transport alone, for libraries that make their own client; Timeout isn't used.
func Transport(o Options) (http.RoundTripper, error) {
	t := &http.Transport{
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		DialContext:           o.Dial,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
	}
	if o.Dial == nil {
		t.DialContext = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	if o.Proxy {
		t.Proxy = http.ProxyFromEnvironment
	}
	if len(o.CA) > 0 || !o.SystemCAs {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("no certificate found in the CA")
		}
	}
	return httpsOnly{t}, nil
}

// ReadCA reads a CA from a file and checks that there is a certificate in it.
func ReadCA(file string) ([]byte, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate found in the CA", file)
	}
	return pem, nil
}

// maxRedirects is as many as net/http follows.
const maxRedirects = 10

// CheckRedirect is the policy of a client that follows a redirect only to the scheme and host that were asked.
func CheckRedirect(req *http.Request, via []*http.Request) error {
	if to, asked := req.URL, via[0].URL; to.Scheme != asked.Scheme || to.Host != asked.Host {
		return fmt.Errorf("%w: to %s://%s", ErrOtherHost, to.Scheme, to.Host)
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w: redirected %d times", ErrOtherHost, len(via))
	}
	return nil
}

// httpsOnly has the transport's other methods too: http.Client.CloseIdleConnections asks for one.
type httpsOnly struct{ *http.Transport }

func (t httpsOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" {
		return nil, fmt.Errorf("%w: %s", ErrPlainHTTP, req.URL.Host)
	}
	return t.Transport.RoundTrip(req)
}
