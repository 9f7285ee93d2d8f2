package scenarios

import (
	"context"

	"github.com/druppie/druppie-up/scenarios/platform"
)

// runWebhook switches a repository's webhooks; whatever becomes of the script,
// they are on again when it ends.
func runWebhook(c *call, p *platform.Platform) error {
	on, repo := c.args[0] == "on", c.args[1]
	if !on {
		c.ts.Defer(func() {
			if err := p.SetWebhook(context.WithoutCancel(c.ctx), repo, true); err != nil {
				c.ts.Logf("switch the webhook of %s on again: %v", repo, err)
			}
		})
	}
	return p.SetWebhook(c.ctx, repo, on)
}
