package secrets_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/bootstrap/secrets/secretstest"
	"github.com/druppie/druppie-up/internal/names"
)

func TestEnsureSecretsChangesNothingTheSecondTime(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	first, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	before := secretstest.Versions(t, c)
	second, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, secretstest.Versions(t, c)); diff != "" {
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
	key := secretstest.Values(t, c, "foundry", "signing-key")
	gone := &corev1.Secret{}
	gone.Namespace, gone.Name = "foundry", "registry-htpasswd"
	if err := c.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if _, err := secrets.Ensure(t.Context(), c, opt); err != nil {
		t.Fatal(err)
	}
	writer, front := secretstest.Values(t, c, "foundry", "registry-writer"), secretstest.Values(t, c, "foundry", "registry-htpasswd")
	if bcrypt.CompareHashAndPassword([]byte(front["hash"]), []byte(writer["password"])) != nil {
		t.Error("the registry's front would refuse the writer")
	}
	if diff := cmp.Diff(key, secretstest.Values(t, c, "foundry", "signing-key")); diff != "" {
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
	made, err := secrets.Ensure(t.Context(), c, secrets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := secretstest.Values(t, c, "gitea", "gitea-tls")["tls.crt"]
	if now == string(pair.Cert) {
		t.Error("Gitea would serve a certificate that nobody trusts")
	}
	if sum := sha256.Sum256([]byte(now)); made.Certificates["gitea-tls"] != hex.EncodeToString(sum[:]) {
		t.Error("Gitea wouldn't be told which certificate it has to serve")
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

// Reports are signed with a key of their own, and the trace knows both keys by what they may sign.
func TestTraceKnowsWhatIsSignedHere(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	made, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "north"})
	if err != nil {
		t.Fatal(err)
	}
	ring := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "druppie-system", Name: "trace-keyring"}, ring); err != nil {
		t.Fatal(err)
	}
	reports := secretstest.Values(t, c, "druppie-system", names.ConformanceKey)
	if want := map[string]string{"cosign.pub": string(made.SigningPublicKey), "conformance.pub": reports["conformance.pub"]}; !cmp.Equal(want, ring.Data) {
		t.Error(cmp.Diff(want, ring.Data))
	}
	block, _ := pem.Decode([]byte(reports[names.ConformanceKeyFile]))
	if block == nil {
		t.Fatal("no private key")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(private.(*ecdsa.PrivateKey).Public())
	if err != nil || string(public) != reports["conformance.pub"] {
		t.Errorf("the public key isn't the private one's (%v)", err)
	}
}

func TestCheckpointsHaveAKeyOfTheirPlatform(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	if _, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "north"}); err != nil {
		t.Fatal(err)
	}
	key := secretstest.Values(t, c, "druppie-system", "tracedb-checkpoint-key")
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
