package gitops

import (
	"context"
	"fmt"
	"net/http"

	"code.gitea.io/sdk/gitea"
	corev1 "k8s.io/api/core/v1"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// tokenName is what our tokens are called in Gitea. The number goes up when
// their scopes change, so that old ones are replaced.
const tokenName = "druppie-up-1"

// ensureTokens gives each identity a token with no more scope than it needs,
// keeps it, and hands copies to the namespaces that use it.
func (f *forge) ensureTokens(ctx context.Context) error {
	tokens := map[string]string{}
	for _, id := range identities() {
		if len(id.scopes) == 0 {
			continue
		}
		token, err := f.ensureToken(ctx, id)
		if err != nil {
			return fmt.Errorf("%s: %w", id.name, err)
		}
		tokens[id.name] = token
	}
	for _, c := range []struct{ namespace, name, identity string }{
		{names.NamespaceFoundry, "gitea-promoter", names.UserFoundry},
		{names.NamespaceFoundry, "gitea-approver", names.UserFoundryReviewer},
		{names.NamespaceSystem, "tracedb-gitea-token", names.UserTrace},
	} {
		if err := f.secret(ctx, c.namespace, c.name, corev1.SecretTypeOpaque, map[string][]byte{
			"username": []byte(c.identity), "token": []byte(tokens[c.identity]),
		}); err != nil {
			return err
		}
	}
	return f.secret(ctx, names.NamespaceFlux, fluxSecret, corev1.SecretTypeOpaque, map[string][]byte{
		"username": []byte(names.UserFlux), "password": []byte(tokens[names.UserFlux]), "ca.crt": f.endpoint.CA,
	})
}

func (f *forge) ensureToken(ctx context.Context, id identity) (string, error) {
	data, err := f.identity(ctx, id.name)
	if err != nil {
		return "", err
	}
	kept := string(data["token"])
	if kept != "" && string(data["token-name"]) == tokenName {
		valid, err := f.tokenWorks(ctx, id.name, kept)
		if valid || err != nil {
			return kept, err
		}
	}
	c, err := f.as(ctx, id.name, string(data["password"]))
	if err != nil {
		return "", err
	}
	// One of this name that we don't know the value of is of no use to anyone.
	if resp, err := c.DeleteAccessToken(tokenName); err != nil && giteaclient.Status(resp) != http.StatusNotFound {
		return "", fmt.Errorf("delete token: %w", err)
	}
	opt := gitea.CreateAccessTokenOption{Name: tokenName}
	for _, s := range id.scopes {
		opt.Scopes = append(opt.Scopes, gitea.AccessTokenScope(s))
	}
	made, _, err := c.CreateAccessToken(opt)
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	return made.Token, f.secret(ctx, names.NamespaceGitea, names.IdentitySecret(id.name), corev1.SecretTypeBasicAuth, map[string][]byte{
		"token": []byte(made.Token), "token-name": []byte(tokenName),
	})
}

// tokenWorks says whether Gitea takes a token for whom we think it is; an error
// means that it couldn't be asked.
func (f *forge) tokenWorks(ctx context.Context, name, token string) (bool, error) {
	c, err := giteaclient.New(ctx, giteaclient.Options{URL: f.endpoint.URL("gitea"), HTTP: f.http, Token: giteaclient.Token(token)})
	if err != nil {
		return false, err
	}
	user, resp, err := c.GetMyUserInfo()
	switch {
	case err == nil:
		return user.UserName == name, nil
	case giteaclient.Status(resp) == http.StatusUnauthorized, giteaclient.Status(resp) == http.StatusForbidden:
		return false, nil
	}
	return false, fmt.Errorf("try token: %w", err)
}
