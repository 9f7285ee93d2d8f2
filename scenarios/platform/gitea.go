package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// Identity is an account in Gitea.
type Identity struct {
	Username, Email, Token string
}

// Identity reads an account's token from the cluster, where it was generated.
func (p *Platform) Identity(ctx context.Context, name string) (Identity, error) {
	v, err := p.secret(ctx, names.NamespaceGitea, names.IdentitySecret(name), "username", "email", "token")
	if err != nil {
		return Identity{}, fmt.Errorf("identity %s: %w", name, err)
	}
	return Identity{Username: v["username"], Email: v["email"], Token: v["token"]}, nil
}

// Gitea is a client that acts as the identity.
func (p *Platform) Gitea(ctx context.Context, name string) (*giteaclient.Client, error) {
	id, err := p.Identity(ctx, name)
	if err != nil {
		return nil, err
	}
	c, err := p.gitea(ctx, giteaclient.Options{Token: giteaclient.Token(id.Token)})
	if err != nil {
		return nil, fmt.Errorf("gitea as %s: %w", name, err)
	}
	return c, nil
}

func (p *Platform) gitea(ctx context.Context, o giteaclient.Options) (*giteaclient.Client, error) {
	o.URL, o.HTTP = p.giteaURL().String(), p.client
	return giteaclient.New(ctx, o)
}

// GitURL is where git reaches a repository of the organisation.
func (p *Platform) GitURL(repo string) string {
	return p.proxyURL + "/" + names.Organisation + "/" + repo + ".git"
}

func (p *Platform) giteaURL() *url.URL {
	if p.port == 0 {
		return &url.URL{Scheme: "https", Host: names.GiteaHost}
	}
	return &url.URL{Scheme: "https", Host: net.JoinHostPort(frontDoorHost, strconv.Itoa(p.port))}
}

// startProxy forwards git's requests from the loopback address: the git library takes a
// transport of its own only for the whole process, which isn't ours to change.
func (p *Platform) startProxy() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for git: %w", err)
	}
	target := p.giteaURL()
	p.proxyURL = "http://" + l.Addr().String()
	p.proxy = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: &httputil.ReverseProxy{
			Transport: p.client.Transport,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = target.Host
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, err.Error(), http.StatusBadGateway)
			},
		},
	}
	go func() {
		if err := p.proxy.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			l.Close()
		}
	}()
	return nil
}
