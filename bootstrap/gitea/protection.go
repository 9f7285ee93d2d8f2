package gitea

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/internal/names"
)

// otherBranches matches every branch; a rule that names a branch goes
// before it.
const otherBranches = "**"

// protection is a branch protection rule as Gitea's API has it. The SDK's type
// lacks block_admin_merge_override, without which an administrator merges what
// nobody approved.
type protection struct {
	RuleName                 string   `json:"rule_name"`
	Priority                 int64    `json:"priority"` // the lower goes first
	EnablePush               bool     `json:"enable_push"`
	EnablePushWhitelist      bool     `json:"enable_push_whitelist"`
	PushWhitelist            []string `json:"push_whitelist_usernames"`
	PushWhitelistDeployKeys  bool     `json:"push_whitelist_deploy_keys"`
	EnableForcePush          bool     `json:"enable_force_push"`
	EnableForcePushAllowlist bool     `json:"enable_force_push_allowlist"`
	ForcePushAllowlist       []string `json:"force_push_allowlist_usernames"`
	EnableMergeWhitelist     bool     `json:"enable_merge_whitelist"`
	MergeWhitelist           []string `json:"merge_whitelist_usernames"`
	RequiredApprovals        int64    `json:"required_approvals"`
	EnableApprovalsWhitelist bool     `json:"enable_approvals_whitelist"`
	ApprovalsWhitelist       []string `json:"approvals_whitelist_username"`
	BlockOnRejectedReviews   bool     `json:"block_on_rejected_reviews"`
	DismissStaleApprovals    bool     `json:"dismiss_stale_approvals"`
	IgnoreStaleApprovals     bool     `json:"ignore_stale_approvals"`
	BlockAdminMergeOverride  bool     `json:"block_admin_merge_override"`
}

// pushOnlyBy lets one identity push, never with force, and merges nothing.
func pushOnlyBy(branch, user string) protection {
	return protection{
		RuleName: branch, Priority: priority(branch), EnablePush: true, EnablePushWhitelist: true, PushWhitelist: []string{user},
		EnableMergeWhitelist: true, MergeWhitelist: []string{user}, BlockAdminMergeOverride: true,
	}
}

// pullRequestsBy gives every branch but main to one identity, which may force-push
// what it proposed; that dismisses approvals. Who approves can't add to what it
// approves. An approval on the way to another branch counts for nothing: it would go on
// counting where the pull request is turned to main, with what that branch has and main
// lacks. Gitea also keeps protected branches from being deleted.
func pullRequestsBy(user string) protection {
	p := pushOnlyBy(otherBranches, user)
	p.EnableApprovalsWhitelist = true
	p.EnableForcePush, p.EnableForcePushAllowlist, p.ForcePushAllowlist = true, true, []string{user}
	return p
}

// noRefNames lets nobody make a branch that is called as a ref is. Gitea pushes what it merges to refs/heads/main, and
// beside a branch of that name Git doesn't know which of the two is meant: nothing could be merged any more.
func noRefNames() protection {
	return protection{RuleName: "refs/**", Priority: priority("refs/**"), BlockAdminMergeOverride: true}
}

// requireReview lets nobody push; what is merged was approved, as it is, by one of
// the approvers. Gitea never counts an author's own approval. It dismisses approvals when
// something is pushed, and ignores those that were given to an older commit afterwards.
func requireReview(branch string, approvers, mergers []string) protection {
	return protection{
		RuleName: branch, Priority: priority(branch),
		EnableMergeWhitelist: true, MergeWhitelist: mergers,
		RequiredApprovals: 1, EnableApprovalsWhitelist: true, ApprovalsWhitelist: approvers,
		BlockOnRejectedReviews: true, DismissStaleApprovals: true, IgnoreStaleApprovals: true, BlockAdminMergeOverride: true,
	}
}

// priority puts the rule for all branches last.
func priority(branch string) int64 {
	if branch == otherBranches {
		return 2
	}
	return 1
}

// sorted makes rules comparable: names in order, and none as an empty list.
func (p protection) sorted() protection {
	for _, names := range []*[]string{&p.PushWhitelist, &p.ForcePushAllowlist, &p.MergeWhitelist, &p.ApprovalsWhitelist} {
		*names = append([]string{}, *names...)
		slices.Sort(*names)
	}
	return p
}

func (s *setup) protections(ctx context.Context, repo string) ([]protection, error) {
	var rules []protection
	err := s.api.Call(ctx, http.MethodGet, protectionPath(repo), nil, &rules)
	return rules, err
}

// ensureProtection makes the repository, which has these rules, have exactly those
// that are wanted, and reads them back: Gitea drops names from a whitelist that
// lack access.
func (s *setup) ensureProtection(ctx context.Context, repo string, have, want []protection) error {
	byName := func(rules []protection) map[string]protection {
		m := map[string]protection{}
		for _, r := range rules {
			m[r.RuleName] = r.sorted()
		}
		return m
	}
	old, wanted := byName(have), byName(want)
	if cmp.Equal(old, wanted) {
		return nil
	}
	for name, w := range wanted {
		var err error
		if is, found := old[name]; !found {
			err = s.api.Call(ctx, http.MethodPost, protectionPath(repo), w, nil)
		} else if !cmp.Equal(is, w) {
			err = s.api.Call(ctx, http.MethodPatch, protectionPath(repo)+"/"+url.PathEscape(name), w, nil)
		}
		if err != nil {
			return fmt.Errorf("protect %s: %w", name, err)
		}
		delete(old, name)
	}
	for name := range old {
		if err := s.api.Call(ctx, http.MethodDelete, protectionPath(repo)+"/"+url.PathEscape(name), nil, nil); err != nil {
			return fmt.Errorf("delete rule %s: %w", name, err)
		}
	}
	have, err := s.protections(ctx, repo)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(wanted, byName(have)); diff != "" {
		return fmt.Errorf("branch protection isn't what was asked for (-want +have):\n%s", diff)
	}
	return nil
}

func protectionPath(repo string) string {
	return "/repos/" + names.Organisation + "/" + repo + "/branch_protections"
}

// tagProtection is a tag protection rule as Gitea's API has it; the SDK lacks them.
type tagProtection struct {
	ID          int64    `json:"id,omitempty"`
	NamePattern string   `json:"name_pattern"`
	Whitelist   []string `json:"whitelist_usernames"`
}

// tagsOnlyBy lets one account make, move and delete tags. Nothing on the platform goes by a tag, but people do:
// what was released as v1 must not become something else.
func tagsOnlyBy(user string) tagProtection {
	return tagProtection{NamePattern: "*", Whitelist: []string{user}}
}

// ensureTagProtection makes the repository have this one rule for its tags.
func (s *setup) ensureTagProtection(ctx context.Context, repo string, want tagProtection) error {
	path := "/repos/" + names.Organisation + "/" + repo + "/tag_protections"
	var have []tagProtection
	if err := s.api.Call(ctx, http.MethodGet, path, nil, &have); err != nil {
		return err
	}
	found := false
	for _, h := range have {
		id := h.ID
		h.ID = 0
		if !found && cmp.Equal(h, want) {
			found = true
			continue
		}
		if err := s.api.Call(ctx, http.MethodDelete, fmt.Sprintf("%s/%d", path, id), nil, nil); err != nil {
			return fmt.Errorf("delete rule %s: %w", h.NamePattern, err)
		}
	}
	if found {
		return nil
	}
	if err := s.api.Call(ctx, http.MethodPost, path, want, nil); err != nil {
		return fmt.Errorf("protect tags: %w", err)
	}
	return nil
}
