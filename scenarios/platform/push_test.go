package platform

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/druppie/druppie-up/internal/names"
)

// foundry is a registry with the front's rule: reading is open, writing is not.
func foundry(t *testing.T) *Platform {
	t.Helper()
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if u, p, ok := r.BasicAuth(); !ok || u != "writer" || p != "secret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
		}
		store.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return &Platform{
		Kube: fake.NewClientset(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: names.NamespaceFoundry, Name: "registry-writer"},
			Data:       map[string][]byte{"username": []byte("writer"), "password": []byte("secret")},
		}),
		client: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "example.com"},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, srv.Listener.Addr().String())
			},
		}},
	}
}

func seed(t *testing.T, p *Platform) string {
	t.Helper()
	img, err := random.Image(64, 2)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(Repository("drone-service"))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := p.push(t.Context(), repo, img)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestVariantIsAnotherImageEachTimeTheSame(t *testing.T) {
	p := foundry(t)
	ref := seed(t, p)
	one, err := p.PushVariant(t.Context(), ref, "one")
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.PushVariant(t.Context(), ref, "one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := p.PushVariant(t.Context(), ref, "two")
	if err != nil {
		t.Fatal(err)
	}
	if one != again || one == two || one == ref || !strings.HasPrefix(one, Repository("drone-service")+"@sha256:") {
		t.Errorf("got %s, %s, %s of %s", one, again, two, ref)
	}
	if _, ok, err := p.Digest(t.Context(), one); err != nil || !ok {
		t.Errorf("the registry lacks what was pushed: %v", err)
	}
	if _, ok, err := p.Digest(t.Context(), ref[:len(ref)-4]+"0000"); err != nil || ok {
		t.Errorf("the registry has what nobody pushed: %v", err)
	}
}

func TestTagAndForeignSignature(t *testing.T) {
	p := foundry(t)
	ref := seed(t, p)
	tagged, err := p.Tag(t.Context(), ref, "scenario")
	if err != nil {
		t.Fatal(err)
	}
	if digest, ok, err := p.Digest(t.Context(), tagged); err != nil || !ok || !strings.HasSuffix(ref, digest) {
		t.Errorf("the tag leads to %s, want %s: %v", digest, ref, err)
	}
	if err := p.SignForeign(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	tags, err := p.Tags(t.Context(), "drone-service")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := name.NewDigest(ref); err != nil || !slices.Contains(tags, signatureTag(d)) {
		t.Errorf("no signature among %v: %v", tags, err)
	}
	if tags, err := p.Tags(t.Context(), "nowhere"); err != nil || len(tags) != 0 {
		t.Errorf("an image that isn't there has %v: %v", tags, err)
	}
}

func TestNobodyWritesWithoutCredentials(t *testing.T) {
	p := foundry(t)
	err := p.PushWithoutCredentials(t.Context(), "drone-service")
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("got %v", err)
	}
}

func TestRegistryOfAnotherAuthorityIsNotTrusted(t *testing.T) {
	p := foundry(t)
	ref := seed(t, p)
	tr := p.client.Transport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}
	p.client = &http.Client{Transport: tr}
	_, ok, err := p.Digest(t.Context(), ref)
	// The library tries plain http where a name ends in .local; the port speaks TLS
	// only, so that helps nobody.
	if err == nil || ok {
		t.Error("a registry with a certificate of nobody was read")
	}
}
