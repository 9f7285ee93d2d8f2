package promotion_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/cmd/foundry/internal/promotion"
)

var (
	drone = fleet.Service{
		Repository: "druppie/drone-service", Tenant: "drones",
		Image: "registry.foundry.svc.cluster.local:5000/druppie/drone-service",
	}
	deploy = map[string]string{
		"deploy/kustomization.yaml": "resources: [deployment.yaml]\n",
		"deploy/deployment.yaml":    "image: " + drone.Image + "\n",
	}
	digest = "sha256:" + strings.Repeat("1", 64)
)

// gitea answers what the approver asks of Gitea's API, about one pull request,
// and keeps what it did.
type gitea struct {
	pr         map[string]any
	unreviewed int // commits that main of the service lacks
	busy       int // times that a merge has to be tried again
	raced      int // times that another merge came first
	done       []string
}

func (g *gitea) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reply := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	const pull = "/api/v1/repos/druppie/fleet/pulls/7"
	switch path := r.URL.Path; {
	case r.Method == http.MethodGet && path == pull:
		reply(g.pr)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/api/v1/repos/druppie/drone-service/compare/main..."):
		reply(map[string]any{"total_commits": g.unreviewed})
	case r.Method == http.MethodPost && path == pull+"/reviews":
		var review struct {
			Event  string
			Commit string `json:"commit_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&review)
		g.done = append(g.done, review.Event+" "+review.Commit)
		reply(map[string]any{"id": 1})
	case r.Method == http.MethodPost && path == pull+"/merge":
		if g.busy > 0 {
			g.busy--
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if g.raced > 0 {
			g.raced--
			w.WriteHeader(http.StatusConflict)
			reply(map[string]string{"message": "merge push out of date"})
			return
		}
		var merge struct {
			Do   string
			Head string `json:"head_commit_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&merge)
		g.done = append(g.done, merge.Do+" "+merge.Head)
		g.pr["merged"], g.pr["merge_commit_sha"] = true, "merged"
	default:
		http.Error(w, fmt.Sprintf("unexpected %s %s", r.Method, path), http.StatusTeapot)
	}
}

func files(f fleet.Files) map[string]string {
	out := map[string]string{}
	for name, data := range f {
		out[name] = string(data)
	}
	return out
}

func TestApprove(t *testing.T) {
	service := foundrytest.NewGit(t, drone.Repository, deploy, map[string]string{"backdoor": "open"})
	listing := map[string]string{"tenants/drones/kustomization.yaml": "resources: []\n", "README.md": "fleet\n"}
	tests := []struct {
		name   string
		tamper func(proposed map[string]string)
		change func(g *gitea, r *fleet.Release)
		others map[string]string // what another promotion brought onto main since
		want   string            // the refusal; empty: approved and merged
	}{
		{name: "the promotion"},
		{name: "Gitea is still busy", change: func(g *gitea, _ *fleet.Release) { g.busy = 2 }},
		{name: "another came in between", change: func(g *gitea, _ *fleet.Release) { g.raced = 1 }},
		{name: "another tenant's came meanwhile", others: map[string]string{"tenants/water/kustomization.yaml": "resources: [pump]\n"}},
		{
			name: "a digest that wasn't proven", want: "tenants/drones/drone-service/kustomization.yaml has other contents",
			change: func(_ *gitea, r *fleet.Release) { r.Digest = "sha256:" + strings.Repeat("2", 64) },
		},
		{
			name: "one file more", want: "tenants/drones/evil.yaml doesn't belong there",
			tamper: func(p map[string]string) { p["tenants/drones/evil.yaml"] = "kind: Pod\n" },
		},
		{
			name: "another deployment than the commit's", want: "deploy/deployment.yaml has other contents",
			tamper: func(p map[string]string) {
				p["tenants/drones/drone-service/deploy/deployment.yaml"] += "privileged: true\n"
			},
		},
		{
			name: "something outside the tenant", want: "README.md has other contents",
			tamper: func(p map[string]string) { p["README.md"] = "mine\n" },
		},
		{
			name: "a commit that nobody reviewed", want: "isn't on main of druppie/drone-service",
			change: func(g *gitea, _ *fleet.Release) { g.unreviewed = 1 },
		},
		{
			name: "a change that came without a pull request", want: "holds what nobody approved in backdoor",
			change: func(_ *gitea, r *fleet.Release) { r.Commit = service.Commits[1] },
		},
		{
			name: "closed", want: "a newer release superseded it",
			change: func(g *gitea, _ *fleet.Release) { g.pr["state"] = "closed" },
		},
		{
			name: "its own", want: "nobody approves their own work",
			change: func(g *gitea, _ *fleet.Release) { g.pr["user"] = map[string]any{"login": "foundry-reviewer"} },
		},
		{
			name: "for another branch", want: "it isn't for main",
			change: func(g *gitea, _ *fleet.Release) {
				g.pr["base"] = map[string]any{"ref": "staging", "repo_id": 1}
			},
		},
		{
			name: "from a fork", want: "another repository",
			change: func(g *gitea, _ *fleet.Release) {
				g.pr["head"] = map[string]any{"ref": "x", "sha": "x", "repo_id": 2}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			release := fleet.Release{Commit: service.Commits[0], Digest: digest}
			before, inService := fleet.Files{}, fleet.Files{}
			for name, text := range listing {
				before[name] = []byte(text)
			}
			for name, text := range deploy {
				inService[strings.TrimPrefix(name, "deploy/")] = []byte(text)
			}
			after, err := fleet.Promote(drone, release, inService, before)
			if err != nil {
				t.Fatal(err)
			}
			proposed := files(after)
			if tt.tamper != nil {
				tt.tamper(proposed)
			}
			repo := foundrytest.NewGit(t, "druppie/fleet", listing, proposed)
			repo.SetBranch(t, "main", repo.Commits[0])
			if tt.others != nil {
				repo.Commit(t, "main", repo.Commits[0], tt.others)
			}
			repo.SetBranch(t, "promote/drones/drone-service", repo.Commits[1])
			api := &gitea{pr: map[string]any{
				"number": 7, "state": "open", "user": map[string]any{"login": "foundry"},
				"base": map[string]any{"ref": "main", "repo_id": 1},
				"head": map[string]any{"ref": "promote/drones/drone-service", "sha": repo.Commits[1], "repo_id": 1},
			}}
			if tt.change != nil {
				tt.change(api, &release)
			}
			address, ca := foundrytest.Gitea(t, api, service, repo)
			c := promotion.Client{
				Gitea: address, Fleet: "druppie/fleet", CA: ca,
				Credentials: credentials.Basic{Username: "foundry-reviewer", Password: "t0ken"},
			}
			merged, err := c.Approve(context.Background(), 7, drone, release)
			if tt.want == "" {
				want := []string{"APPROVED " + repo.Commits[1], "squash " + repo.Commits[1]}
				if diff := cmp.Diff(want, api.done); err != nil || merged != "merged" || diff != "" {
					t.Errorf("merged %q, %v\n%s", merged, err, diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			for _, d := range api.done {
				if !strings.HasPrefix(d, "REQUEST_CHANGES ") {
					t.Errorf("refused, and yet: %s", d)
				}
			}
		})
	}
}
