package gitops

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/internal/httpclient"
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
// loopback address by itself, since resolvers needn't know *.localhost.
func (e Endpoint) Transport() (http.RoundTripper, error) {
	return httpclient.Transport(e.options())
}

// Client is an HTTP client that reaches what the transport does.
func (e Endpoint) Client() (*http.Client, error) {
	o := e.options()
	o.Timeout = 3 * time.Minute
	return httpclient.New(o)
}

func (e Endpoint) options() httpclient.Options {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return httpclient.Options{CA: e.CA, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if !isPlatformName(host) {
			return nil, fmt.Errorf("%s is not a name of this platform", host)
		}
		return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}}
}
