// Package frontdoor is how programs on this machine reach the platform: through the
// reverse proxy on one port of the loopback address, by its names and with its CA. It refuses every
// other name, plain http and proxies, which couldn't reach it.
package frontdoor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/internal/names"
)

// Endpoint is a platform's front door.
type Endpoint struct {
	Port int    // on 127.0.0.1
	CA   []byte // PEM; the only authority that is trusted
	// Dial reaches a door that isn't on this machine; nil: it is.
	Dial func(ctx context.Context) (net.Conn, error)
}

// URL is what a browser on this machine opens for one of the hosts behind the
// door, such as "gitea".
func (e Endpoint) URL(host string) string { return "https://" + e.Address(host) }

// Address is the host's full name, with the port.
func (e Endpoint) Address(host string) string {
	return net.JoinHostPort(host+"."+names.Domain, strconv.Itoa(e.Port))
}

// Transport reaches the platform's names and nothing else. It dials by itself, since resolvers needn't know *.localhost.
func (e Endpoint) Transport() (http.RoundTripper, error) { return httpclient.Transport(e.options()) }

// Client is an HTTP client with the endpoint's transport.
func (e Endpoint) Client() (*http.Client, error) { return httpclient.New(e.options()) }

func (e Endpoint) options() httpclient.Options {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return httpclient.Options{CA: e.CA, Timeout: 3 * time.Minute,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if host != names.Domain && !strings.HasSuffix(host, "."+names.Domain) {
				return nil, fmt.Errorf("%s is not a name of this platform", host)
			}
			if e.Dial != nil {
				return e.Dial(ctx)
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		},
	}
}
