package gitea

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	sdk "code.gitea.io/sdk/gitea"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// tokenName is what our tokens are called in Gitea. The number goes up when
// their scopes change, so that old ones are replaced.
const tokenName = "druppie-up-2"

// ensureTokens gives each identity a token with no more scope than it needs, and
// keeps it in its Secret and in those of the namespaces that use it.
func (s *setup) ensureTokens(ctx context.Context) error {
	var g errgroup.Group
	var mu sync.Mutex
	tokens := map[string]string{}
	for _, id := range identities() {
		if len(id.scopes) == 0 {
			continue
		}
		g.Go(func() error {
			token, err := s.ensureToken(ctx, id)
			if err != nil {
				return fmt.Errorf("%s: %w", id.name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			tokens[id.name] = token
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, c := range []struct{ namespace, name, identity string }{
		{names.NamespaceFoundry, "gitea-promoter", names.UserFoundry},
		{names.NamespaceFoundry, "gitea-approver", names.UserFoundryReviewer},
		{names.NamespaceSystem, "tracedb-gitea-token", names.UserTrace},
	} {
		if err := kube.EnsureSecret(ctx, s, c.namespace, c.name, corev1.SecretTypeOpaque, map[string][]byte{
			"username": []byte(c.identity), "token": []byte(tokens[c.identity]),
		}); err != nil {
			return err
		}
	}
	return kube.EnsureSecret(ctx, s, names.NamespaceFlux, names.FluxGit, corev1.SecretTypeOpaque, map[string][]byte{
		"username": []byte(names.UserFlux), "password": []byte(tokens[names.UserFlux]), names.CAKey: s.endpoint.CA,
	})
}

func (s *setup) ensureToken(ctx context.Context, id identity) (string, error) {
	data, err := identityData(ctx, s, id.name)
	if err != nil {
		return "", err
	}
	if kept, err := s.validToken(ctx, id.name, data); kept != "" || err != nil {
		return kept, err
	}
	c, err := s.as(ctx, id.name, string(data["password"]))
	if err != nil {
		return "", err
	}
	// A token's value can't be read again: an old one of this name is of no use.
	if resp, err := c.DeleteAccessToken(tokenName); err != nil && giteaclient.Status(resp) != http.StatusNotFound {
		return "", fmt.Errorf("delete token: %w", err)
	}
	opt := sdk.CreateAccessTokenOption{Name: tokenName}
	for _, s := range id.scopes {
		opt.Scopes = append(opt.Scopes, sdk.AccessTokenScope(s))
	}
	made, _, err := c.CreateAccessToken(opt)
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return made.Token, kube.EnsureSecret(ctx, s, names.NamespaceGitea, names.IdentitySecret(id.name), corev1.SecretTypeBasicAuth, map[string][]byte{
		"token": []byte(made.Token), "token-name": []byte(tokenName),
	})
}

// validToken is the token that the cluster keeps of an account, if Gitea takes it
// for that account's; an error means that it couldn't be asked.
func (s *setup) validToken(ctx context.Context, name string, data map[string][]byte) (string, error) {
	kept := string(data["token"])
	if kept == "" || string(data["token-name"]) != tokenName {
		return "", nil
	}
	c, err := s.with(ctx, kept)
	if err != nil {
		return "", err
	}
	user, resp, err := c.GetMyUserInfo()
	switch {
	case err == nil && user.UserName == name:
		return kept, nil
	case err == nil, giteaclient.Status(resp) == http.StatusUnauthorized, giteaclient.Status(resp) == http.StatusForbidden:
		return "", nil
	}
	return "", fmt.Errorf("try token: %w", err)
}
