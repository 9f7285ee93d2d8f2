package scenarios

import (
	"github.com/druppie/druppie-up/scenarios/platform"
)

// runWebhook switches a repository's webhooks; whatever becomes of the script,
// they are on again when it ends.
func runWebhook(c *call, p *platform.Platform) error {
	on, repo := c.args[0] == "on", c.args[1]
	if !on {
		c.cleanup("webhooks of "+repo+" switched off", func(after *call) error { return p.SetWebhook(after.ctx, repo, true) })
	}
	return p.SetWebhook(c.ctx, repo, on)
}
