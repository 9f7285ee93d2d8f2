package gitops

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/internal/names"
)

// Endpoint is the platform's front door as programs on this machine reach it.
type Endpoint struct {
	Port int    // on 127.0.0.1
	CA   []byte // PEM; the only authority that is trusted
}

// URL is what a browser on this machine opens for a part of the platform.
func (e Endpoint) URL(part string) string {
	return "https://" + e.host(part)
}

func (e Endpoint) host(part string) string {
	return net.JoinHostPort(part+"."+names.Domain, strconv.Itoa(e.Port))
}

// Transport reaches the platform's names and nothing else. It dials the
// loopback address by itself, since resolvers needn't know *.localhost, takes
// no proxy, which couldn't reach it, and never speaks plain http, which some
// clients fall back on for such names.
func (e Endpoint) Transport() (http.RoundTripper, error) {
	pool, err := pki.Pool(e.CA)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return tlsOnly{&http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if !isPlatformName(host) {
				return nil, fmt.Errorf("%s is not a name of this platform", host)
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   4,
	}}, nil
}

// Client is an HTTP client with the endpoint's transport.
func (e Endpoint) Client() (*http.Client, error) {
	t, err := e.Transport()
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t, Timeout: 3 * time.Minute}, nil
}

type tlsOnly struct{ next http.RoundTripper }

var errPlain = errors.New("the platform is reached through https only")

func (t tlsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s: %w", r.URL.Redacted(), errPlain)
	}
	return t.next.RoundTrip(r)
}
