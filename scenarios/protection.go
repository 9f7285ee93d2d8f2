package scenarios

import (
	"fmt"
	"net/http"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// runProtection switches the protection of a repository's main off, as Gitea's administrator can, and on again;
// whatever becomes of the script, it is on when that ends.
func runProtection(c *call, p *platform.Platform) error {
	repo := c.args[1]
	if c.args[0] == "on" {
		return restoreProtection(c, p, repo)
	}
	admin, err := p.Gitea(c.ctx, names.UserAdmin)
	if err != nil {
		return err
	}
	rules := fmt.Sprintf("/repos/%s/%s/branch_protections", names.Organisation, repo)
	var rule map[string]any
	if err := admin.Call(c.ctx, http.MethodGet, rules+"/"+names.MainBranch, nil, &rule); err != nil {
		return fmt.Errorf("protection of %s: %w", repo, err)
	}
	c.protections[repo] = rule
	c.cleanup("main of "+repo+" without protection, which druppie-up up puts back", func(after *call) error {
		return restoreProtection(after, p, repo)
	})
	return admin.Call(c.ctx, http.MethodDelete, rules+"/"+names.MainBranch, nil, nil)
}

func restoreProtection(c *call, p *platform.Platform, repo string) error {
	rule, off := c.protections[repo]
	if !off {
		return nil
	}
	admin, err := p.Gitea(c.ctx, names.UserAdmin)
	if err != nil {
		return err
	}
	if err := admin.Call(c.ctx, http.MethodPost, fmt.Sprintf("/repos/%s/%s/branch_protections", names.Organisation, repo), rule, nil); err != nil {
		return fmt.Errorf("protection of %s, which is off: %w", repo, err)
	}
	delete(c.protections, repo)
	return nil
}
