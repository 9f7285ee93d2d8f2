package secrets

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/internal/names"
)

// Secrets of the trace in its namespace that others read.
const (
	TraceWebhook = "tracedb-gitea-webhook" // "secret": what Gitea signs its webhooks with
	traceFlux    = "tracedb-flux-hmac"
)

// traceSecrets makes what the trace and those who talk to it share. What only
// Gitea can make follows when it runs.
func (k writer) traceSecrets(ctx context.Context, platform string, ca []byte) error {
	made := map[string]map[string][]byte{}
	for name, make := range map[string]func() (map[string][]byte, error){
		"tracedb-checkpoint-key": func() (map[string][]byte, error) {
			key, err := pki.NewNoteKey(names.TraceOrigin(platform))
			return map[string][]byte{"checkpoint.key": []byte(key.Signer), names.CheckpointKeyFile: []byte(key.Verifier)}, err
		},
		// The gatekeeper shows it when it asks; a policy reads it here.
		"tracedb-admission": func() (map[string][]byte, error) { return generated("token") },
		"tracedb-session":   func() (map[string][]byte, error) { return generated("key") },
		traceFlux:           func() (map[string][]byte, error) { return generated("token") },
		TraceWebhook:        func() (map[string][]byte, error) { return generated("secret") },
	} {
		data, err := k.once(ctx, names.NamespaceSystem, name, corev1.SecretTypeOpaque, make)
		if err != nil {
			return err
		}
		made[name] = data
	}
	// Flux signs what it tells, and reads the authority beside the key.
	if err := k.secret(ctx, names.NamespaceFlux, traceFlux, corev1.SecretTypeOpaque, map[string][]byte{
		"token": made[traceFlux]["token"], names.CAKey: ca,
	}); err != nil {
		return err
	}
	return k.configMap(ctx, names.NamespaceSystem, names.CheckpointKey, map[string]string{
		names.CheckpointKeyFile: string(made["tracedb-checkpoint-key"][names.CheckpointKeyFile]),
	})
}
