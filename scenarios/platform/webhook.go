package platform

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// webhook is a webhook as Gitea's API has it. What an edit leaves out, Gitea sets to its default: a trace whose
// webhook lost its events would hear of no review any more.
type webhook struct {
	ID           int64    `json:"id,omitempty"`
	Name         string   `json:"name"`
	Active       bool     `json:"active"`
	Events       []string `json:"events"`
	BranchFilter string   `json:"branch_filter"`
}

// SetWebhook switches a repository's webhooks on or off, as Gitea's
// administrator: what off loses is lost as in an outage, since Gitea delivers
// no event twice.
func (p *Platform) SetWebhook(ctx context.Context, repo string, active bool) error {
	c, err := p.Gitea(ctx, names.UserAdmin)
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/repos/%s/%s/hooks", names.Organisation, repo)
	var hooks []webhook
	if err := c.Call(ctx, http.MethodGet, path+"?limit=50", nil, &hooks); err != nil {
		return fmt.Errorf("webhooks of %s: %w", repo, err)
	}
	if len(hooks) == 0 {
		return fmt.Errorf("%s has no webhook", repo)
	}
	for _, h := range hooks {
		if err := c.Call(ctx, http.MethodPatch, fmt.Sprintf("%s/%d", path, h.ID), h.switched(active), nil); err != nil {
			return fmt.Errorf("webhook of %s: %w", repo, err)
		}
	}
	return nil
}

// switched is the webhook as it is to be written.
func (h webhook) switched(active bool) webhook {
	h.ID, h.Active, h.Events = 0, active, slices.Clone(h.Events)
	for i, event := range h.Events {
		if event == giteaclient.PullRequestReturned {
			h.Events[i] = giteaclient.PullRequestOnly
		}
	}
	return h
}
