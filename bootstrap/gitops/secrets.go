package gitops

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/internal/names"
)

// renewBefore is how long before its end a certificate is issued anew.
const renewBefore = 30 * 24 * time.Hour

// Options say which platform the foundation is for.
type Options struct {
	Name string // the cluster's name, shown in the CA's
	// CA is an authority made before the cluster was, whose certificate the
	// nodes hold already. Without one, and with none in the cluster, one is made.
	CA *pki.CA
}

// Material is what later steps need to know of the foundation's secrets.
type Material struct {
	CA               []byte // PEM
	SigningPublicKey []byte // PEM
}

// EnsureSecrets makes the namespaces and all secrets of the foundation. What
// the cluster has is kept, except certificates that end soon or serve other
// names, which the same authority issues anew.
func EnsureSecrets(ctx context.Context, c Objects, opt Options) (Material, error) {
	k := keeper{c}
	if err := k.namespaces(ctx); err != nil {
		return Material{}, err
	}
	ca, err := k.authority(ctx, opt)
	if err != nil {
		return Material{}, err
	}
	for _, ns := range []string{names.NamespaceSystem, names.NamespaceGitea, names.NamespaceFoundry, names.NamespaceFlux, names.NamespaceKyverno, names.NamespaceTekton} {
		if err := k.configMap(ctx, ns, names.CA, map[string]string{names.CAKey: string(ca.Cert)}); err != nil {
			return Material{}, err
		}
	}
	if err := k.certificates(ctx, ca); err != nil {
		return Material{}, err
	}
	public, err := k.signingKey(ctx)
	if err != nil {
		return Material{}, err
	}
	if err := k.registryWriter(ctx); err != nil {
		return Material{}, err
	}
	if err := k.giteaSecrets(ctx); err != nil {
		return Material{}, err
	}
	if err := k.traceSecrets(ctx, opt.Name, ca.Cert); err != nil {
		return Material{}, err
	}
	return Material{CA: ca.Cert, SigningPublicKey: public}, nil
}

func (k keeper) namespaces(ctx context.Context) error {
	enforce := func(level string) map[string]string {
		return map[string]string{"pod-security.kubernetes.io/enforce": level}
	}
	for _, ns := range []struct {
		name   string
		labels map[string]string
	}{
		{names.NamespaceSystem, enforce("restricted")},
		{names.NamespaceGitea, enforce("restricted")},
		// Kaniko builds as root in its container.
		{names.NamespaceFoundry, enforce("baseline")},
		// These come with manifests of their own, which own the labels: two
		// writers of one label would undo each other for ever.
		{names.NamespaceFlux, nil},
		{names.NamespaceTekton, nil},
		{names.NamespaceKyverno, nil},
	} {
		if err := k.namespace(ctx, ns.name, ns.labels); err != nil {
			return err
		}
	}
	return nil
}

func (k keeper) authority(ctx context.Context, opt Options) (pki.CA, error) {
	data, err := k.once(ctx, names.NamespaceSystem, names.CA, corev1.SecretTypeTLS, func() (map[string][]byte, error) {
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

func (k keeper) certificates(ctx context.Context, ca pki.CA) error {
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
		data, err := k.once(ctx, c.namespace, c.name, corev1.SecretTypeTLS, issue)
		if err != nil {
			return err
		}
		if ca.Serves(data[corev1.TLSCertKey], c.request, renewBefore) {
			continue
		}
		if data, err = issue(); err != nil {
			return err
		}
		if err := k.secret(ctx, c.namespace, c.name, corev1.SecretTypeTLS, data); err != nil {
			return err
		}
	}
	return nil
}

func (k keeper) signingKey(ctx context.Context) ([]byte, error) {
	data, err := k.once(ctx, names.NamespaceFoundry, "signing-key", corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		key, err := pki.NewSigningKey()
		return map[string][]byte{
			"cosign.key": key.Private, "cosign.pub": key.Public, "cosign.password": key.Password,
		}, err
	})
	if err != nil {
		return nil, err
	}
	public := data["cosign.pub"]
	// The trace checks what the foundry signed.
	for _, ns := range []string{names.NamespaceFoundry, names.NamespaceSystem} {
		if err := k.configMap(ctx, ns, "signing-public-key", map[string]string{"cosign.pub": string(public)}); err != nil {
			return nil, err
		}
	}
	return public, nil
}

func (k keeper) registryWriter(ctx context.Context) error {
	const username = "foundry"
	data, err := k.once(ctx, names.NamespaceFoundry, names.RegistryWriter, corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		password, err := pki.Secret()
		if err != nil {
			return nil, err
		}
		config, err := dockerConfig(names.RegistryHost, username, password)
		return map[string][]byte{
			"username": []byte(username), "password": []byte(password), "config.json": config,
		}, err
	})
	if err != nil {
		return err
	}
	_, err = k.once(ctx, names.NamespaceFoundry, "registry-htpasswd", corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		hash, err := pki.Hash(string(data["password"]))
		if err != nil {
			return nil, err
		}
		session, err := pki.Secret()
		return map[string][]byte{
			"username": data["username"], "hash": []byte(hash), "http-secret": []byte(session),
		}, err
	})
	return err
}

// giteaSecrets makes what must exist before Gitea starts. Tokens follow when it
// runs, since only Gitea can make them.
func (k keeper) giteaSecrets(ctx context.Context) error {
	if _, err := k.once(ctx, names.NamespaceGitea, "gitea-keys", corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		return secrets("secret-key", "internal-token", "jwt-secret", "lfs-jwt-secret")
	}); err != nil {
		return err
	}
	if _, err := k.once(ctx, names.NamespaceFoundry, "webhook-hmac", corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		return secrets("secret")
	}); err != nil {
		return err
	}
	for _, id := range append(identities(), identity{name: names.UserAdmin}) {
		if _, err := k.once(ctx, names.NamespaceGitea, names.IdentitySecret(id.name), corev1.SecretTypeBasicAuth, func() (map[string][]byte, error) {
			password, err := pki.Secret()
			return map[string][]byte{
				"username": []byte(id.name), "password": []byte(password), "email": []byte(email(id.name)),
			}, err
		}); err != nil {
			return err
		}
	}
	return nil
}

func tlsData(p pki.Pair) map[string][]byte {
	return map[string][]byte{corev1.TLSCertKey: p.Cert, corev1.TLSPrivateKeyKey: p.Key}
}

func secrets(keys ...string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, key := range keys {
		s, err := pki.Secret()
		if err != nil {
			return nil, err
		}
		out[key] = []byte(s)
	}
	return out, nil
}

func dockerConfig(host, username, password string) ([]byte, error) {
	auth := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	return json.Marshal(map[string]any{
		"auths": map[string]any{host: map[string]string{"username": username, "password": password, "auth": auth}},
	})
}
