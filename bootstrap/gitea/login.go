package gitea

import (
	"context"
	"fmt"
	"slices"

	sdk "code.gitea.io/sdk/gitea"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/names"
)

const (
	traceLogin    = "tracedb-oauth" // secret with the application's id and secret
	traceLoginApp = "druppie-trace"
)

// ensureTraceLogin makes Gitea vouch for who opens the trace's pages. Gitea
// tells an application's secret once: if the cluster has lost it, or the front
// door has another port, the application is made anew.
func (s *setup) ensureTraceLogin(ctx context.Context) error {
	kept := &corev1.Secret{}
	if err := s.Get(ctx, client.ObjectKey{Namespace: names.NamespaceSystem, Name: traceLogin}, kept); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("secret %s/%s: %w", names.NamespaceSystem, traceLogin, err)
	}
	redirect := []string{s.endpoint.URL("trace") + "/login/callback"}
	apps, _, err := s.api.ListOauth2(sdk.ListOauth2Option{ListOptions: sdk.ListOptions{Page: 1, PageSize: 50}})
	if err != nil {
		return err
	}
	found := false
	for _, app := range apps {
		if app.Name != traceLoginApp {
			continue
		}
		if !found && app.ClientID == string(kept.Data["client-id"]) && len(kept.Data["client-secret"]) > 0 &&
			app.ConfidentialClient && slices.Equal(app.RedirectURIs, redirect) {
			found = true
			continue
		}
		if _, err := s.api.DeleteOauth2(app.ID); err != nil {
			return fmt.Errorf("drop an old application: %w", err)
		}
	}
	if found {
		return nil
	}
	made, _, err := s.api.CreateOauth2(sdk.CreateOauth2Option{
		Name: traceLoginApp, ConfidentialClient: true, RedirectURIs: redirect,
	})
	if err != nil {
		return err
	}
	return kube.EnsureSecret(ctx, s, names.NamespaceSystem, traceLogin, corev1.SecretTypeOpaque, map[string][]byte{
		"client-id": []byte(made.ClientID), "client-secret": []byte(made.ClientSecret),
	})
}
