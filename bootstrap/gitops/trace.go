package gitops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"code.gitea.io/sdk/gitea"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/pki"
	"github.com/druppie/druppie-up/internal/names"
)

const (
	traceHookSecret = "tracedb-gitea-webhook"
	traceLogin      = "tracedb-oauth"
	traceFlux       = "tracedb-flux-hmac"

	traceHookURL  = "https://" + names.TraceHost + "/v1/events/gitea"
	traceLoginApp = "druppie-trace"
)

// traceSecrets makes what the trace and those who talk to it share. What only
// Gitea can make follows when it runs.
func (k keeper) traceSecrets(ctx context.Context, platform string, ca []byte) error {
	made := map[string]map[string][]byte{}
	for name, make := range map[string]func() (map[string][]byte, error){
		"tracedb-checkpoint-key": func() (map[string][]byte, error) {
			key, err := pki.NewNoteKey(names.TraceOrigin(platform))
			return map[string][]byte{"checkpoint.key": []byte(key.Signer), names.CheckpointKeyFile: []byte(key.Verifier)}, err
		},
		// The gatekeeper shows it when it asks; a policy reads it here.
		"tracedb-admission": func() (map[string][]byte, error) { return secrets("token") },
		"tracedb-session":   func() (map[string][]byte, error) { return secrets("key") },
		traceFlux:           func() (map[string][]byte, error) { return secrets("token") },
		traceHookSecret:     func() (map[string][]byte, error) { return secrets("secret") },
	} {
		data, err := k.once(ctx, names.NamespaceSystem, name, corev1.SecretTypeOpaque, make)
		if err != nil {
			return err
		}
		made[name] = data
	}
	// Flux signs what it tells, and reads the authority beside the key.
	if err := k.secret(ctx, names.NamespaceFlux, traceFlux, corev1.SecretTypeOpaque, map[string][]byte{
		"token": made[traceFlux]["token"], "ca.crt": ca,
	}); err != nil {
		return err
	}
	return k.configMap(ctx, names.NamespaceSystem, names.CheckpointKey, map[string]string{
		names.CheckpointKeyFile: string(made["tracedb-checkpoint-key"][names.CheckpointKeyFile]),
	})
}

// hook is a webhook as Gitea's API has it. The SDK's type lacks its name.
type hook struct {
	ID           int64             `json:"id,omitempty"`
	Name         string            `json:"name"`
	Type         string            `json:"type"`
	Active       bool              `json:"active"`
	Events       []string          `json:"events"`
	BranchFilter string            `json:"branch_filter"`
	Config       map[string]string `json:"config"`
}

// traceHook tells the trace of every push, pull request and review. Gitea never
// shows a hook's secret, so the name says by a fingerprint which one it is: a
// hook with an old secret is found and replaced.
func traceHook(secret []byte) hook {
	sum := sha256.Sum256(secret)
	return hook{
		Name: "trace " + hex.EncodeToString(sum[:4]), Type: "gitea", Active: true,
		Events: []string{"push", "pull_request_only", "pull_request_sync", "pull_request_review"},
		Config: map[string]string{"url": traceHookURL, "content_type": "json", "secret": string(secret)},
	}
}

// shownEvents are what Gitea calls the events that traceHook asks for. Asked for
// pull_request it would add labels, assignments and comments; a review is
// delivered as pull_request_approved, pull_request_rejected or pull_request_comment.
var shownEvents = []string{"pull_request", "pull_request_review", "pull_request_sync", "push"}

func (h hook) is(want hook) bool {
	events := slices.Sorted(slices.Values(h.Events))
	return h.Name == want.Name && h.Active && h.Config["content_type"] == "json" &&
		h.BranchFilter == want.BranchFilter && slices.Equal(events, shownEvents)
}

// ensureTraceHooks tells the trace what happens in every repository but its
// own: there each checkpoint would make a record, and each record a checkpoint.
func (f *forge) ensureTraceHooks(ctx context.Context) error {
	data, err := f.once(ctx, names.NamespaceSystem, traceHookSecret, "", func() (map[string][]byte, error) {
		return nil, errors.New("it must be made before gitea is set up")
	})
	if err != nil {
		return err
	}
	want := traceHook(data["secret"])
	for _, r := range repositories() {
		if r.name == names.RepoTrace {
			continue
		}
		if err := f.ensureHook(ctx, r.name, want); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// ensureHook makes the repository have this hook once, among those that lead to
// the same address.
func (f *forge) ensureHook(ctx context.Context, repo string, want hook) error {
	path := "/repos/" + names.Organisation + "/" + repo + "/hooks"
	var have []hook
	if err := f.admin.Call(ctx, http.MethodGet, path+"?limit=50", nil, &have); err != nil {
		return err
	}
	found := false
	for _, h := range have {
		if h.Config["url"] != want.Config["url"] {
			continue
		}
		if !found && h.is(want) {
			found = true
			continue
		}
		if err := f.admin.Call(ctx, http.MethodDelete, fmt.Sprintf("%s/%d", path, h.ID), nil, nil); err != nil {
			return fmt.Errorf("drop an old one: %w", err)
		}
	}
	if found {
		return nil
	}
	var made hook
	if err := f.admin.Call(ctx, http.MethodPost, path, want, &made); err != nil {
		return err
	}
	if !made.is(want) {
		return fmt.Errorf("gitea made something else: events %v, active %v", made.Events, made.Active)
	}
	return nil
}

// ensureTraceLogin makes Gitea vouch for who opens the trace's pages. Gitea
// tells an application's secret once: if the cluster has lost it, or the front
// door has another port, the application is made anew.
func (f *forge) ensureTraceLogin(ctx context.Context) error {
	s := &corev1.Secret{}
	if err := f.Get(ctx, client.ObjectKey{Namespace: names.NamespaceSystem, Name: traceLogin}, s); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("secret %s/%s: %w", names.NamespaceSystem, traceLogin, err)
	}
	redirect := []string{f.endpoint.URL("trace") + "/login/callback"}
	apps, _, err := f.admin.ListOauth2(gitea.ListOauth2Option{ListOptions: gitea.ListOptions{Page: 1, PageSize: 50}})
	if err != nil {
		return err
	}
	found := false
	for _, app := range apps {
		if app.Name != traceLoginApp {
			continue
		}
		if !found && app.ClientID == string(s.Data["client-id"]) && len(s.Data["client-secret"]) > 0 &&
			app.ConfidentialClient && slices.Equal(app.RedirectURIs, redirect) {
			found = true
			continue
		}
		if _, err := f.admin.DeleteOauth2(app.ID); err != nil {
			return fmt.Errorf("drop an old application: %w", err)
		}
	}
	if found {
		return nil
	}
	made, _, err := f.admin.CreateOauth2(gitea.CreateOauth2Option{
		Name: traceLoginApp, ConfidentialClient: true, RedirectURIs: redirect,
	})
	if err != nil {
		return err
	}
	return f.secret(ctx, names.NamespaceSystem, traceLogin, corev1.SecretTypeOpaque, map[string][]byte{
		"client-id": []byte(made.ClientID), "client-secret": []byte(made.ClientSecret),
	})
}
