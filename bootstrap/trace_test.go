package bootstrap

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fakeset "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// door is a front door of an authority: what it answers is the name it was
// called by.
func serveTrace(t *testing.T, ca pki.CA) (port int) {
	t.Helper()
	pair, err := ca.Issue(pki.Request{DNS: []string{"*.druppie.localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		_, _ = w.Write([]byte(host))
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err = strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestTraceIsReachedThroughTheFrontDoorOfThisPlatformOnly(t *testing.T) {
	ours, err := pki.NewCA("ours")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := pki.NewCA("foreign")
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().Build()
	if _, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "north", CA: &ours}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		ca   pki.CA
		want string // the name that the server was called by; empty: refused
	}{
		{"our front door", ours, "trace.druppie.localhost"},
		{"another platform's", foreign, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			port := serveTrace(t, tt.ca)
			access, err := openTrace(t.Context(), c, fakeset.NewClientset(), frontdoor.Endpoint{Port: port})
			if err != nil {
				t.Fatal(err)
			}
			if want := "https://trace.druppie.localhost:" + strconv.Itoa(port); access.URL != want {
				t.Errorf("URL %q, want %q", access.URL, want)
			}
			if !strings.HasPrefix(access.Verifier, "druppie.io/trace/north+") {
				t.Errorf("checkpoints would be verified with %q", access.Verifier)
			}
			resp, err := access.Client.Get(access.URL + "/v1/checkpoint")
			if tt.want == "" {
				if err == nil {
					resp.Body.Close()
					t.Fatal("a server with another CA was accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || string(body) != tt.want {
				t.Errorf("the server was called %q (%v), want %q", body, err, tt.want)
			}
		})
	}
}

func TestTraceTokenIsForTheTraceAlone(t *testing.T) {
	set := fakeset.NewClientset()
	var asked authenticationv1.TokenRequestSpec
	set.PrependReactor("create", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		create := a.(clienttesting.CreateActionImpl)
		if create.Subresource != "token" || create.Namespace != "druppie-system" || create.Name != "ciso" {
			return true, nil, apierrors.NewNotFound(corev1.Resource("serviceaccounts"), create.Name)
		}
		asked = create.Object.(*authenticationv1.TokenRequest).Spec
		return true, &authenticationv1.TokenRequest{Status: authenticationv1.TokenRequestStatus{Token: "short-lived"}}, nil
	})
	token, err := TraceAccess{clientset: set}.Token(t.Context(), TraceCISO)
	if err != nil || token != "short-lived" {
		t.Fatalf("got %q, %v", token, err)
	}
	life := int64(600)
	if diff := cmp.Diff(authenticationv1.TokenRequestSpec{Audiences: []string{"tracedb"}, ExpirationSeconds: &life}, asked); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

func TestTraceThatIsntThereIsSaidWithAWayOut(t *testing.T) {
	set := fakeset.NewClientset()
	set.PrependReactor("create", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(corev1.Resource("serviceaccounts"), "auditor")
	})
	if _, err := (TraceAccess{clientset: set}).Token(t.Context(), TraceAuditor); ui.Hint(err) == "" {
		t.Errorf("no account: %v, without a hint", err)
	}
	tests := []struct {
		name string
		have []client.Object
	}{
		{"nothing", nil},
		{"an older platform", []client.Object{&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "druppie-system", Name: "platform-ca"}, Data: map[string]string{"ca.crt": "x"},
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithObjects(tt.have...).Build()
			if _, err := openTrace(t.Context(), c, set, frontdoor.Endpoint{Port: 8443}); err == nil || ui.Hint(err) == "" {
				t.Errorf("got %v, want an error with a hint", err)
			}
		})
	}
}

// The trace's addresses follow the front door's port, and its origin the
// platform's name.
func TestTracedbKnowsItsPlatform(t *testing.T) {
	q, err := part.Find("tracedb")
	if err != nil {
		t.Fatal(err)
	}
	objs, missing, err := testPlatform(t, nil).renderer().part(q)
	if err != nil {
		t.Fatal(err)
	}
	out, err := kube.Encode(objs)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`name: "north"`, "https://trace.druppie.localhost:9443/login/callback", "https://gitea.druppie.localhost:9443",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in it", want)
		}
	}
	if !slices.Contains(missing, names.OwnImage("tracedb")) {
		t.Error("its image isn't one that we pack")
	}
}
