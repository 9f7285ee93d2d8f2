package secrets_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/internal/names"
)

// versions notes every object's resourceVersion, so that a change shows.
func versions(t *testing.T, c client.Client) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, list := range []client.ObjectList{&corev1.SecretList{}, &corev1.ConfigMapList{}, &corev1.NamespaceList{}} {
		if err := c.List(context.Background(), list); err != nil {
			t.Fatal(err)
		}
		switch l := list.(type) {
		case *corev1.SecretList:
			for _, o := range l.Items {
				out["secret "+o.Namespace+"/"+o.Name] = o.ResourceVersion
			}
		case *corev1.ConfigMapList:
			for _, o := range l.Items {
				out["config map "+o.Namespace+"/"+o.Name] = o.ResourceVersion
			}
		case *corev1.NamespaceList:
			for _, o := range l.Items {
				out["namespace "+o.Name] = o.ResourceVersion
			}
		}
	}
	return out
}

func secret(t *testing.T, c client.Client, namespace, name string) map[string]string {
	t.Helper()
	s := &corev1.Secret{}
	if err := c.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, s); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out
}

func TestEnsureSecretsChangesNothingTheSecondTime(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	first, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	before := versions(t, c)
	second, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, versions(t, c)); diff != "" {
		t.Errorf("objects changed:\n%s", diff)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("material changed:\n%s", diff)
	}
}

func TestEnsureSecretsMakesWhatIsGone(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	opt := secrets.Options{Name: "test"}
	if _, err := secrets.Ensure(t.Context(), c, opt); err != nil {
		t.Fatal(err)
	}
	key := secret(t, c, "foundry", "signing-key")
	gone := &corev1.Secret{}
	gone.Namespace, gone.Name = "foundry", "registry-htpasswd"
	if err := c.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Ensure(t.Context(), c, opt); err != nil {
		t.Fatal(err)
	}
	writer, front := secret(t, c, "foundry", "registry-writer"), secret(t, c, "foundry", "registry-htpasswd")
	if bcrypt.CompareHashAndPassword([]byte(front["hash"]), []byte(writer["password"])) != nil {
		t.Error("the registry's front would refuse the writer")
	}
	if diff := cmp.Diff(key, secret(t, c, "foundry", "signing-key")); diff != "" {
		t.Error("the signing key changed")
	}
}

func TestCertificateOfAnotherAuthorityIsReplaced(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	foreign, err := pki.NewCA("another")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := foreign.Issue(pki.Request{DNS: []string{"gitea.gitea.svc.cluster.local"}})
	if err != nil {
		t.Fatal(err)
	}
	old := &corev1.Secret{Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": pair.Cert, "tls.key": pair.Key}}
	old.Namespace, old.Name = "gitea", "gitea-tls"
	if err := c.Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Ensure(t.Context(), c, secrets.Options{}); err != nil {
		t.Fatal(err)
	}
	if secret(t, c, "gitea", "gitea-tls")["tls.crt"] == string(pair.Cert) {
		t.Error("Gitea would serve a certificate that nobody trusts")
	}
}

func TestGivenAuthorityIsUsed(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	ca, err := pki.NewCA("made before the cluster")
	if err != nil {
		t.Fatal(err)
	}
	m, err := secrets.Ensure(t.Context(), c, secrets.Options{CA: &ca})
	if err != nil {
		t.Fatal(err)
	}
	if string(m.CA) != string(ca.Cert) {
		t.Error("the cluster got an authority that its nodes don't know")
	}
}

// What the trace shares with Flux is one secret in two places: a copy that is
// lost or differs comes back, and the original stays.
func TestTraceSharesItsSecretWithFlux(t *testing.T) {
	const name = "tracedb-flux-hmac"
	tests := []struct {
		name  string
		spoil func(t *testing.T, c client.Client, s *corev1.Secret)
	}{
		{"lost", func(t *testing.T, c client.Client, s *corev1.Secret) {
			if err := c.Delete(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}},
		{"another", func(t *testing.T, c client.Client, s *corev1.Secret) {
			s.Data["token"] = []byte("another")
			if err := c.Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fake.NewClientBuilder().Build()
			m, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			original := secret(t, c, "druppie-system", name)["token"]
			kept := &corev1.Secret{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "flux-system", Name: name}, kept); err != nil {
				t.Fatal(err)
			}
			tt.spoil(t, c, kept)
			if _, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test"}); err != nil {
				t.Fatal(err)
			}
			now, shared := secret(t, c, "druppie-system", name), secret(t, c, "flux-system", name)
			if now["token"] != original || shared["token"] != original || original == "" {
				t.Errorf("the original %q is now %q, the copy %q", original, now["token"], shared["token"])
			}
			if shared["ca.crt"] != string(m.CA) {
				t.Error("Flux couldn't tell the trace from a stranger")
			}
		})
	}
}

func TestCheckpointsHaveAKeyOfTheirPlatform(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	if _, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "north"}); err != nil {
		t.Fatal(err)
	}
	key := secret(t, c, "druppie-system", "tracedb-checkpoint-key")
	signer, err := note.NewSigner(key["checkpoint.key"])
	if err != nil {
		t.Fatal(err)
	}
	if signer.Name() != "druppie.io/trace/north" {
		t.Errorf("checkpoints would be of %q", signer.Name())
	}
	public := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "druppie-system", Name: names.CheckpointKey}, public); err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public.Data[names.CheckpointKeyFile])
	if err != nil {
		t.Fatal(err)
	}
	if verifier.KeyHash() != signer.KeyHash() {
		t.Error("the public key isn't the signer's")
	}
}
