package secrets

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/internal/names"
)

// TraceWebhook is the Secret of the trace, in its namespace, that others read.
const TraceWebhook = "tracedb-gitea-webhook" // "secret": what Gitea signs its webhooks with

// traceSecrets makes what the trace and those who talk to it share. What only
// Gitea can make follows when it runs.
func (k writer) traceSecrets(ctx context.Context, platform string, signingPublicKey []byte) error {
	keys, err := kube.SecretOnce(ctx, k, names.NamespaceSystem, "tracedb-checkpoint-key", corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		key, err := pki.NewNoteKey(names.TraceOrigin(platform))
		return map[string][]byte{"checkpoint.key": []byte(key.Signer), names.CheckpointKeyFile: []byte(key.Verifier)}, err
	})
	if err != nil {
		return err
	}
	reports, err := kube.SecretOnce(ctx, k, names.NamespaceSystem, names.ConformanceKey, corev1.SecretTypeOpaque, func() (map[string][]byte, error) {
		key, err := pki.NewKeyPair()
		return map[string][]byte{names.ConformanceKeyFile: key.Private, "conformance.pub": key.Public}, err
	})
	if err != nil {
		return err
	}
	// The trace checks what the foundry signed, and reports of the conformance suite.
	if err := kube.EnsureConfigMap(ctx, k, names.NamespaceSystem, "trace-keyring", map[string]string{
		"cosign.pub": string(signingPublicKey), "conformance.pub": string(reports["conformance.pub"]),
	}); err != nil {
		return err
	}
	for name, key := range map[string]string{
		"tracedb-admission": "token", // Kyverno's, with which it asks; a policy reads it here
		"tracedb-session":   "key",
		TraceWebhook:        "secret",
	} {
		if _, err := k.generate(ctx, names.NamespaceSystem, name, key); err != nil {
			return err
		}
	}
	return kube.EnsureConfigMap(ctx, k, names.NamespaceSystem, names.CheckpointKey, map[string]string{
		names.CheckpointKeyFile: string(keys[names.CheckpointKeyFile]),
	})
}
