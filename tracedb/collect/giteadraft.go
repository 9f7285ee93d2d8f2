package collect

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/tracedb"
)

// commit is what came onto a branch, as a push or the branch itself shows it.
type commit struct {
	repository, branch, hash, before string
	author                           string // as the commit says, which its maker chooses
	pusher                           string // Gitea's user, as Gitea says who pushed or merged; empty if unknown
	message                          string
	others                           []string
	files                            []string // that it added or changed
	at                               time.Time
	// again is the record after which the branch was set to a commit at which it had been before; 0: it
	// never had.
	again int64
}

// id is that of the record that the branch was set to the commit.
func (c commit) id() string {
	return shortID(fmt.Sprintf("commit/%s/%s/%s", c.repository, c.branch, c.hash))
}

// maxOthers leaves room for what else a commit is about.
const maxOthers = 48

func (c commit) draft(repos Repositories, more ...tracedb.Ref) tracedb.Draft {
	p := tracedb.Commit{
		Repository: c.repository, Branch: first(c.branch), Commit: c.hash, Author: first(c.author), Pusher: first(c.pusher),
		Message: tracedb.Clip(strings.TrimSpace(c.message), maxText), Others: c.others,
	}
	if isHash(c.before) {
		p.Before = c.before
	}
	about := []tracedb.Ref{ref(tracedb.RefRepository, c.repository), repos.commit(c.repository, c.hash)}
	for _, other := range c.others[:min(len(c.others), maxOthers)] {
		about = append(about, repos.commit(c.repository, other))
	}
	about = append(about, more...)
	id := c.id()
	if c.again > 0 {
		id += fmt.Sprintf("/%d", c.again)
	}
	return draft(id, tracedb.KindCommit, person(c.pusher), c.at, "", p, about...)
}

// mergedAs is the commit that a merged pull request became on its branch.
func mergedAs(p *gitea.PullRequest) string {
	if p.MergedCommitID != nil && isHash(*p.MergedCommitID) {
		return *p.MergedCommitID
	}
	return headOf(p)
}

// headOf is the newest commit of a pull request's branch.
func headOf(p *gitea.PullRequest) string {
	if p.Head == nil {
		return ""
	}
	return p.Head.Sha
}

// merged is the record of a pull request that came into its branch.
func (repos Repositories) merged(repository string, p *gitea.PullRequest) []tracedb.Draft {
	m := tracedb.Merge{
		Repository: repository, Pull: p.Index, Title: tracedb.Clip(p.Title, maxName), Author: first(login(p.Poster)),
		MergedBy: first(login(p.MergedBy)), Head: headOf(p), Commit: mergedAs(p),
	}
	var at time.Time
	if p.Merged != nil {
		at = *p.Merged
	}
	about := append(repos.about(repository, p), repos.commit(repository, m.Head), repos.commit(repository, m.Commit))
	// A repository that is made anew counts from one again.
	id := fmt.Sprintf("merge/%s/%d/%s", repository, p.Index, m.Commit)
	return []tracedb.Draft{draft(id, tracedb.KindMerge, person(login(p.MergedBy)), at, "", m, about...)}
}

// about are the refs of a pull request. One in the fleet is about what it promotes, too, as far as its
// author says so; what came of it is in the promotion, which is read from the fleet's files.
func (repos Repositories) about(repository string, p *gitea.PullRequest) []tracedb.Ref {
	out := []tracedb.Ref{
		ref(tracedb.RefRepository, repository), ref(tracedb.RefPull, fmt.Sprintf("%s#%d", repository, p.Index)),
	}
	if repository != repos.Fleet {
		return out
	}
	r := readRelease(p.Body)
	if repos.recorded(r.repository) {
		out = append(out, ref(tracedb.RefRepository, r.repository), repos.commit(r.repository, r.commit))
	}
	return append(out, ref(tracedb.RefImage, r.digest))
}

// review is a review of a pull request, from the webhook or the API.
type review struct {
	id       string // Gitea's, and what distinguishes its versions
	state    string
	reviewer string
	body     string
	commit   string
	at       time.Time
}

// reviewStates are Gitea's words, those of its webhook and those of its API.
var reviewStates = map[string]tracedb.Outcome{
	"approved": tracedb.Approved, "rejected": tracedb.Rejected, "comment": tracedb.Commented,
	"APPROVED": tracedb.Approved, "REQUEST_CHANGES": tracedb.Rejected, "COMMENT": tracedb.Commented,
}

// draft is false for a review that isn't given yet.
func (v review) draft(repos Repositories, repository string, p *gitea.PullRequest) (tracedb.Draft, bool) {
	outcome, ok := reviewStates[v.state]
	if !ok {
		return tracedb.Draft{}, false
	}
	r := tracedb.Review{
		Repository: repository, Pull: p.Index, Title: tracedb.Clip(p.Title, maxName), Author: first(login(p.Poster)),
		Reviewer: first(v.reviewer), Reason: tracedb.Clip(v.body, maxText), Commit: v.commit,
	}
	if !isHash(r.Commit) {
		r.Commit = headOf(p) // Gitea keeps no commit with a comment on none
	}
	about := append(repos.about(repository, p), repos.commit(repository, r.Commit))
	id := fmt.Sprintf("review/%s/%d/%s", repository, p.Index, v.id)
	return draft(id, tracedb.KindReview, person(v.reviewer), v.at, outcome, r, about...), true
}

// release is what a promotion brings into the fleet.
type release struct{ repository, commit, digest string }

// releaseLine is a line by which a promotion's commit and pull request name the release.
var releaseLine = regexp.MustCompile(`(?m)^(Service|Commit|Image): (\S+)\s*$`)

// readRelease reads what the text of a promotion says, as far as it says it well.
func readRelease(text string) release {
	var r release
	for _, m := range releaseLine.FindAllStringSubmatch(tracedb.Clip(text, maxText), -1) {
		switch m[1] {
		case "Service":
			r.repository = m[2]
		case "Commit":
			r.commit = m[2]
		case "Image":
			r.digest = anyDigest.FindString(m[2])
		}
	}
	if !isHash(r.commit) {
		r.commit = ""
	}
	return r
}

// maxPromotions bounds what one commit of the fleet may make us read.
const maxPromotions = 50

// fleetCommit are the records of what came onto the fleet's main: the commit, and a promotion for each
// image that it brings. A service's kustomization names the digests, and the commit and repository that
// they were built from. What the file says is what Flux applies; only where it can't be read does the
// commit's message have to do. An image that comes without saying from where is no promotion, but the
// commit is about it.
func fleetCommit(ctx context.Context, repos Repositories, c commit, files *GiteaPoller) ([]tracedb.Draft, error) {
	var promoted []tracedb.Draft
	var unsourced []tracedb.Ref
	for _, name := range slices.Compact(slices.Sorted(slices.Values(c.files))) {
		tenant, ok := serviceFile(name)
		if !ok || len(promoted) >= maxPromotions {
			continue
		}
		releases := []release{readRelease(c.message)}
		if files != nil {
			data, err := files.file(ctx, c.repository, c.hash, name)
			if err != nil {
				return nil, err
			}
			releases = parseService(data)
		}
		for _, r := range releases {
			if !isDigest(r.digest) {
				continue
			}
			about := []tracedb.Ref{ref(tracedb.RefRepository, r.repository), ref(tracedb.RefCommit, r.commit), ref(tracedb.RefNamespace, tenant)}
			if slices.ContainsFunc(about, func(r tracedb.Ref) bool { return r.Check() != nil }) {
				if len(unsourced) < maxImages/4 {
					unsourced = append(unsourced, ref(tracedb.RefImage, r.digest))
				}
				continue
			}
			p := tracedb.Promotion{
				Digest: r.digest, Repository: r.repository, Commit: r.commit, Fleet: repos.Fleet, Revision: c.hash, Tenant: tenant,
			}
			id := fmt.Sprintf("promotion/%s/%s/%s", c.hash, path.Dir(name), r.digest)
			about = append(about, ref(tracedb.RefImage, r.digest), ref(tracedb.RefRevision, c.hash))
			promoted = append(promoted, draft(id, tracedb.KindPromotion, person(c.pusher), c.at, "", p, about...))
		}
	}
	return append([]tracedb.Draft{c.draft(repos, unsourced...)}, promoted...), nil
}

// serviceFile says whether the file of the fleet is a service's kustomization, and of which tenant:
// tenants/<tenant>/<service>/kustomization.yaml.
func serviceFile(name string) (tenant string, ok bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || parts[0] != "tenants" || parts[3] != "kustomization.yaml" || path.Clean(name) != name {
		return "", false
	}
	return parts[1], true
}

// parseService reads a service's kustomization. One that can't be read promotes nothing; Flux will say
// what is wrong with it.
func parseService(data []byte) []release {
	var k struct {
		CommonAnnotations map[string]string `json:"commonAnnotations"`
		Images            []struct {
			Digest string `json:"digest"`
		} `json:"images"`
	}
	if err := yaml.Unmarshal(data, &k); err != nil {
		return nil
	}
	commit := k.CommonAnnotations[names.LabelCommit]
	if !isHash(commit) {
		commit = ""
	}
	var out []release
	for _, i := range k.Images {
		out = append(out, release{repository: k.CommonAnnotations[names.LabelRepository], commit: commit, digest: i.Digest})
	}
	return out
}
