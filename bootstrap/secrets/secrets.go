// Package secrets makes what is generated once and kept in the cluster: the
// namespaces of the platform, its CA and certificates, the signing key, and the
// passwords and keys that its parts share. What is there stays, but for
// certificates that end soon or serve other names. It refuses to make what only
// a running Gitea can: tokens.
package secrets

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/internal/names"
)

// renewBefore is how long before its end a certificate is issued anew.
const renewBefore = 30 * 24 * time.Hour

// FluxWebhook is the secret in Flux's namespace with the key, at "token", that
// Gitea signs its webhooks to Flux with.
const FluxWebhook = "gitea-webhook"

// FoundryWebhook is the secret in the foundry's namespace with the key, at
// "secret", that Gitea signs its webhooks to the pipeline's listener with.
const FoundryWebhook = "webhook-hmac"

// Options say which platform the foundation is for.
type Options struct {
	Name string // the cluster's name, shown in the CA's
	// CA is an authority made before the cluster was, whose certificate the
	// nodes hold already. Without one, and with none in the cluster, one is made.
	CA *pki.CA
	// Users are the accounts in Gitea that need a password.
	Users []string
}

// Material is what later steps need to know of the foundation's secrets.
type Material struct {
	CA               []byte            // PEM
	SigningPublicKey []byte            // PEM
	FluxWebhook      []byte            // the key that Gitea signs its webhooks to Flux with
	Certificates     map[string]string // SHA-256 in hex of each certificate, by the name of its secret
}

// Ensure makes the namespaces and all secrets of the foundation. What
// the cluster has is kept, except certificates that end soon or serve other
// names, which the same authority issues anew.
func Ensure(ctx context.Context, c client.Client, opt Options) (Material, error) {
	k := writer{c}
	if err := k.namespaces(ctx); err != nil {
		return Material{}, err
	}
	ca, err := k.authority(ctx, opt)
	if err != nil {
		return Material{}, err
	}
	for _, ns := range namespaces() {
		if err := kube.EnsureConfigMap(ctx, k, ns.Name, names.CA, map[string]string{names.CAKey: string(ca.Cert)}); err != nil {
			return Material{}, err
		}
	}
	certificates, err := k.ensureCertificates(ctx, ca)
	if err != nil {
		return Material{}, err
	}
	public, err := k.signingKey(ctx)
	if err != nil {
		return Material{}, err
	}
	if err := k.registryWriter(ctx); err != nil {
		return Material{}, err
	}
	if err := k.giteaSecrets(ctx, opt.Users); err != nil {
		return Material{}, err
	}
	if err := k.traceSecrets(ctx, opt.Name, public); err != nil {
		return Material{}, err
	}
	webhook, err := k.generate(ctx, names.NamespaceFlux, FluxWebhook, "token")
	if err != nil {
		return Material{}, err
	}
	return Material{CA: ca.Cert, SigningPublicKey: public, FluxWebhook: webhook["token"], Certificates: certificates}, nil
}

// namespaces are those that need the CA's certificate.
func namespaces() []part.Namespace { return part.Namespaces(part.Foundation, part.Flux) }

func (k writer) namespaces(ctx context.Context) error {
	for _, ns := range namespaces() {
		// Of a namespace that comes with manifests of its own those own the labels:
		// two writers of one label would undo each other for ever.
		var labels map[string]string
		if ns.PodSecurity != "" {
			labels = map[string]string{"pod-security.kubernetes.io/enforce": ns.PodSecurity}
		}
		if err := kube.EnsureNamespace(ctx, k, ns.Name, labels); err != nil {
			return err
		}
	}
	return nil
}

// writer writes secrets and config maps into the cluster.
type writer struct{ client.Client }

func (k writer) authority(ctx context.Context, opt Options) (pki.CA, error) {
	data, err := kube.SecretOnce(ctx, k, names.NamespaceSystem, names.CA, corev1.SecretTypeTLS, func() (map[string][]byte, error) {
		if opt.CA != nil {
			return tlsData(opt.CA.Pair), nil
		}
		ca, err := pki.NewCA("Druppie platform " + opt.Name)
		return tlsData(ca.Pair), err
	})
	if err != nil {
		return pki.CA{}, err
	}
	ca, err := pki.LoadCA(pki.Pair{Cert: data[corev1.TLSCertKey], Key: data[corev1.TLSPrivateKeyKey]})
	if err != nil {
		return pki.CA{}, fmt.Errorf("secret %s/%s: %w", names.NamespaceSystem, names.CA, err)
	}
	return ca, nil
}

func (k writer) ensureCertificates(ctx context.Context, ca pki.CA) (fingerprints map[string]string, err error) {
	fingerprints = map[string]string{}
	for _, c := range []struct {
		namespace, name string
		request         pki.Request
	}{
		{names.NamespaceFoundry, "registry-tls", pki.Request{
			DNS: append(names.ServiceHosts("registry", names.NamespaceFoundry), "localhost"),
			IPs: []string{names.RegistryIP, "127.0.0.1"},
		}},
		{names.NamespaceGitea, "gitea-tls", pki.Request{
			DNS: append(names.ServiceHosts("gitea", names.NamespaceGitea), "gitea."+names.Domain, "localhost"),
			IPs: []string{"127.0.0.1"},
		}},
		{names.NamespaceFoundry, "frontdoor-tls", pki.Request{
			DNS: []string{names.Domain, "*." + names.Domain, "localhost"},
			IPs: []string{"127.0.0.1"},
		}},
		{names.NamespaceSystem, "tracedb-tls", pki.Request{
			DNS: names.ServiceHosts("tracedb", names.NamespaceSystem),
		}},
	} {
		issue := func() (map[string][]byte, error) {
			pair, err := ca.Issue(c.request)
			return tlsData(pair), err
		}
		data, err := kube.SecretOnce(ctx, k, c.namespace, c.name, corev1.SecretTypeTLS, issue)
		if err != nil {
			return nil, err
		}
		if !ca.StillValid(data[corev1.TLSCertKey], c.request, renewBefore) {
			if data, err = issue(); err != nil {
				return nil, err
			}
			if err := kube.EnsureSecret(ctx, k, c.namespace, c.name, corev1.SecretTypeTLS, data); err != nil {
				return nil, err
			}
		}
		sum := sha256.Sum256(data[corev1.TLSCertKey])
		fingerprints[c.name] = hex.EncodeToString(sum[:])
	}
	return fingerprints, nil
}

func (k writer) signingKey(ctx context.Context) ([]byte, error) {
	data, err := kube.SecretOnce(ctx, k, names.NamespaceFoundry, "signing-key", corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		key, err := pki.NewSigningKey()
		return map[string][]byte{
			"cosign.key": key.Private, "cosign.pub": key.Public, "cosign.password": key.Password,
		}, err
	})
	if err != nil {
		return nil, err
	}
	public := data["cosign.pub"]
	return public, kube.EnsureConfigMap(ctx, k, names.NamespaceFoundry, "signing-public-key", map[string]string{"cosign.pub": string(public)})
}

func (k writer) registryWriter(ctx context.Context) error {
	const username = "foundry"
	data, err := kube.SecretOnce(ctx, k, names.NamespaceFoundry, names.RegistryWriter, corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		password := pki.Secret()
		config, err := dockerConfig(names.RegistryHost, username, password)
		return map[string][]byte{
			"username": []byte(username), "password": []byte(password), "config.json": config,
		}, err
	})
	if err != nil {
		return err
	}
	_, err = kube.SecretOnce(ctx, k, names.NamespaceFoundry, "registry-htpasswd", corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		hash, err := pki.Hash(string(data["password"]))
		if err != nil {
			return nil, err
		}
		return map[string][]byte{
			"username": data["username"], "hash": []byte(hash), "http-secret": []byte(pki.Secret()),
		}, nil
	})
	return err
}

// giteaSecrets makes what must exist before Gitea starts. Tokens follow when it
// runs, since only Gitea can make them.
func (k writer) giteaSecrets(ctx context.Context, users []string) error {
	if _, err := k.generate(ctx, names.NamespaceGitea, "gitea-keys", "secret-key", "internal-token", "jwt-secret", "lfs-jwt-secret"); err != nil {
		return err
	}
	if _, err := k.generate(ctx, names.NamespaceFoundry, FoundryWebhook, "secret"); err != nil {
		return err
	}
	for _, user := range users {
		if _, err := kube.SecretOnce(ctx, k, names.NamespaceGitea, names.IdentitySecret(user), corev1.SecretTypeBasicAuth, func() (map[string][]byte, error) {
			return map[string][]byte{
				"username": []byte(user), "password": []byte(pki.Secret()), "email": []byte(user + "@" + names.Domain),
			}, nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func tlsData(p pki.Pair) map[string][]byte {
	return map[string][]byte{corev1.TLSCertKey: p.Cert, corev1.TLSPrivateKeyKey: p.Key}
}

// generate makes a secret with a random value at each of the keys.
func (k writer) generate(ctx context.Context, namespace, name string, keys ...string) (map[string][]byte, error) {
	return kube.SecretOnce(ctx, k, namespace, name, corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		out := map[string][]byte{}
		for _, key := range keys {
			out[key] = []byte(pki.Secret())
		}
		return out, nil
	})
}

func dockerConfig(host, username, password string) ([]byte, error) {
	auth := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	return json.Marshal(map[string]any{
		"auths": map[string]any{host: map[string]string{"username": username, "password": password, "auth": auth}},
	})
}
