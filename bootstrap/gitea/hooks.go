package gitea

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

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

// newHook sends events to a target. Gitea never shows a hook's secret, so the name
// says by a fingerprint which one it is: a hook with an old secret is found and
// replaced.
func newHook(name string, to Webhook, branch string, events ...string) hook {
	sum := sha256.Sum256(to.Secret)
	return hook{
		Name: name + " " + hex.EncodeToString(sum[:4]), Type: "gitea", Active: true,
		Events: events, BranchFilter: branch,
		Config: map[string]string{"url": to.URL, "content_type": "json", "secret": string(to.Secret)},
	}
}

func (h hook) is(want hook) bool {
	var events []string
	for _, e := range want.Events {
		if e == giteaclient.PullRequestOnly {
			e = giteaclient.PullRequestReturned
		}
		events = append(events, e)
	}
	return h.Name == want.Name && h.Active && h.Config["content_type"] == "json" && h.BranchFilter == want.BranchFilter &&
		slices.Equal(slices.Sorted(slices.Values(h.Events)), slices.Sorted(slices.Values(events)))
}

// ensureWebhooks has Gitea send its events to the foundry, Flux and the trace.
func (s *setup) ensureWebhooks(ctx context.Context) error {
	foundry, err := secretData(ctx, s, names.NamespaceFoundry, secrets.FoundryWebhook)
	if err != nil {
		return err
	}
	trace, err := secretData(ctx, s, names.NamespaceSystem, secrets.TraceWebhook)
	if err != nil {
		return err
	}
	toFoundry := newHook("foundry", Webhook{"http://" + names.ListenerHost, foundry["secret"]}, names.MainBranch, "push")
	toFlux := newHook("flux", s.flux, names.MainBranch, "push")
	toTrace := traceHook(trace["secret"])
	// The trace's own repository has none: there each checkpoint would make a
	// record, and each record a checkpoint.
	hooks := map[string][]hook{names.RepoPlatform: {toFlux, toTrace}, names.RepoFleet: {toFlux, toTrace}}
	for _, t := range s.tenants {
		for _, service := range t.Services {
			hooks[service] = []hook{toFoundry, toTrace}
		}
	}
	for _, repo := range slices.Sorted(maps.Keys(hooks)) {
		if err := s.ensureHooks(ctx, repo, hooks[repo]); err != nil {
			return fmt.Errorf("%s: %w", repo, err)
		}
	}
	return nil
}

// traceHook sends the trace every push, pull request and review; a review is
// delivered as pull_request_approved, pull_request_rejected or pull_request_comment.
func traceHook(secret []byte) hook {
	return newHook("trace", Webhook{"https://" + names.TraceHost + "/v1/events/gitea", secret}, "",
		"push", giteaclient.PullRequestOnly, "pull_request_sync", "pull_request_review")
}

// ours says whether a hook was made here for the same part, perhaps at another address: its name has the part's and
// a secret's fingerprint.
func ours(h, want hook) bool {
	part, _, _ := strings.Cut(want.Name, " ")
	fingerprint, ok := strings.CutPrefix(h.Name, part+" ")
	raw, err := hex.DecodeString(fingerprint)
	return ok && err == nil && len(raw) == 4
}

// ensureHooks makes the repository have each of these hooks once, and no other to
// the same address or for the same part.
func (s *setup) ensureHooks(ctx context.Context, repo string, want []hook) error {
	path := "/repos/" + names.Organisation + "/" + repo + "/hooks"
	var have []hook
	if err := s.api.Call(ctx, http.MethodGet, path+"?limit=50", nil, &have); err != nil {
		return err
	}
	deleted := map[int64]bool{}
	for _, w := range want {
		found := false
		for _, h := range have {
			switch sameAddress := h.Config["url"] == w.Config["url"]; {
			case !sameAddress && !ours(h, w), deleted[h.ID]:
				continue
			case sameAddress && !found && h.is(w):
				found = true
				continue
			}
			deleted[h.ID] = true
			if err := s.api.Call(ctx, http.MethodDelete, fmt.Sprintf("%s/%d", path, h.ID), nil, nil); err != nil {
				return fmt.Errorf("delete an old one: %w", err)
			}
		}
		if found {
			continue
		}
		var made hook
		if err := s.api.Call(ctx, http.MethodPost, path, w, &made); err != nil {
			return err
		}
		if !made.is(w) {
			return fmt.Errorf("gitea made something else: events %v, active %v", made.Events, made.Active)
		}
	}
	return nil
}
