//go:build containers

package gitea_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	setup "github.com/druppie/druppie-up/bootstrap/gitea"
	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/bootstrap/secrets/secretstest"
)

// sameImage gives one image under every name.
type sameImage struct{ image v1.Image }

func (s sameImage) Image(string) (v1.Image, error) { return s.image, nil }

// TestRegistry has the registry, its front and the front door, each with the
// configuration of its chart.
func TestRegistry(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	m, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test", Users: setup.Users()})
	allowed(t, "secrets", err)
	files := map[string]string{}
	for key, value := range configMap(t, "registry", "foundry") {
		files["/etc/registry/"+key] = value
	}
	for key, value := range configMap(t, "frontdoor", "foundry") {
		files["/etc/frontdoor/"+key] = value
	}
	mount(t, c, files, "/etc/registry-tls/", "foundry", "registry-tls")
	mount(t, c, files, "/etc/frontdoor-tls/", "foundry", "frontdoor-tls")
	files["/etc/platform-ca/ca.crt"] = string(m.CA)
	front := secretstest.Values(t, c, "foundry", "registry-htpasswd")
	frontPort, inside := startRegistry(t, files, map[string]string{
		"REGISTRY_USERNAME": front["username"], "REGISTRY_HASH": front["hash"], "REGISTRY_HTTP_SECRET": front["http-secret"],
	})
	endpoint := frontdoor.Endpoint{Port: frontPort, CA: m.CA}
	writer := secretstest.Values(t, c, "foundry", "registry-writer")

	img, err := random.Image(100_000, 3)
	allowed(t, "image", err)
	t.Run("seed", func(t *testing.T) {
		allowed(t, "first", bootstrap.PushBaseImages(t.Context(), c, endpoint, sameImage{img}))
		allowed(t, "again", bootstrap.PushBaseImages(t.Context(), c, endpoint, sameImage{img}))
	})

	// As pods and nodes reach it: by its own name, straight at its front.
	ref, err := name.ParseReference(fmt.Sprintf("registry.foundry.svc.cluster.local:%d/base/python:3.11", inside))
	allowed(t, "name", err)
	other := ref.Context().Tag("other")
	ours, foreign := insideTransport(t, m.CA), insideTransport(t, foreignCA(t))
	auth := func(user, password string) remote.Option {
		return remote.WithAuth(&authn.Basic{Username: user, Password: password})
	}

	t.Run("anybody reads", func(t *testing.T) {
		got, err := remote.Image(ref, remote.WithTransport(ours))
		allowed(t, "pull", err)
		want, _ := img.Digest()
		if digest, err := got.Digest(); err != nil || digest != want {
			t.Errorf("pulled %s (%v), want %s", digest, err, want)
		}
	})
	t.Run("who writes says who it is", func(t *testing.T) {
		unauthorized(t, "without credentials", remote.Write(other, img, remote.WithTransport(ours)))
		unauthorized(t, "a wrong password", remote.Write(other, img, remote.WithTransport(ours), auth(writer["username"], "wrong")))
		unauthorized(t, "deletion", remote.Delete(ref, remote.WithTransport(ours)))
		_, err := remote.Head(other, remote.WithTransport(ours))
		refused(t, "what was refused is there", err)
		allowed(t, "the writer", remote.Write(other, img, remote.WithTransport(ours), auth(writer["username"], writer["password"])))
	})
	t.Run("a wrong authority fails, and nothing falls back on http", func(t *testing.T) {
		_, err := remote.Image(ref, remote.WithTransport(foreign))
		refused(t, "another authority", err)
		err = remote.Write(other, img, remote.WithTransport(foreign), auth(writer["username"], writer["password"]))
		refused(t, "credentials to who can't show who it is", err)
		resp, err := (&http.Client{Transport: ours}).Get(fmt.Sprintf("http://%s/v2/", ref.Context().RegistryStr()))
		allowed(t, "plain http", err)
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("plain http: %s", resp.Status)
		}
	})
	t.Run("front door", func(t *testing.T) {
		h, err := endpoint.Client()
		allowed(t, "client", err)
		for part, want := range map[string]string{
			"https://druppie.localhost:%d/":                     "druppie-up credentials",
			"https://registry.druppie.localhost:%d/v2/_catalog": "base/python",
			"https://nothing.druppie.localhost:%d/":             "is not a part of this platform",
		} {
			resp, err := h.Get(fmt.Sprintf(part, frontPort))
			allowed(t, part, err)
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if !strings.Contains(string(body), want) {
				t.Errorf("%s: %s %s", part, resp.Status, body)
			}
		}
	})
}

func unauthorized(t *testing.T, what string, err error) {
	t.Helper()
	var answer *transport.Error
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("%s: %v, want 401", what, err)
	}
}

func foreignCA(t *testing.T) []byte {
	t.Helper()
	ca, err := pki.NewCA("another")
	allowed(t, "authority", err)
	return ca.Cert
}

// insideTransport stands in for the cluster's name service.
func insideTransport(t *testing.T, ca []byte) http.RoundTripper {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate in the CA")
	}
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{RootCAs: pool}
	tr.Proxy = nil
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	return tr
}
