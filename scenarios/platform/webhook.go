package platform

import (
	"context"
	"fmt"

	"code.gitea.io/sdk/gitea"

	"github.com/druppie/druppie-up/internal/names"
)

// SetWebhook switches a repository's webhooks on or off, as Gitea's
// administrator: what off loses is lost as in an outage, since Gitea delivers
// no event twice.
func (p *Platform) SetWebhook(ctx context.Context, repo string, active bool) error {
	c, err := p.GiteaAdmin(ctx)
	if err != nil {
		return err
	}
	hooks, _, err := c.ListRepoHooks(names.Organisation, repo, gitea.ListHooksOptions{})
	if err != nil {
		return fmt.Errorf("webhooks of %s: %w", repo, err)
	}
	if len(hooks) == 0 {
		return fmt.Errorf("%s has no webhook", repo)
	}
	for _, h := range hooks {
		if _, err := c.EditRepoHook(names.Organisation, repo, h.ID, gitea.EditHookOption{Active: &active}); err != nil {
			return fmt.Errorf("webhook of %s: %w", repo, err)
		}
	}
	return nil
}
