//go:build containers

package gitea_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	setup "github.com/druppie/druppie-up/bootstrap/gitea"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/render"
	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/bootstrap/secrets/secretstest"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/charts"
	"github.com/druppie/druppie-up/internal/names"
)

// testGitea is a real Gitea with everything that EnsureGitea makes, and the fake
// cluster that keeps its secrets.
type testGitea struct {
	endpoint frontdoor.Endpoint
	cluster  client.Client
	exec     setup.Exec
}

// toFlux is where Flux would receive webhooks.
var toFlux = setup.Webhook{URL: "http://webhook-receiver.flux-system.svc.cluster.local/hook/0", Secret: []byte("key")}

// newTestGitea starts a Gitea with the configuration of our chart.
func newTestGitea(t *testing.T) testGitea {
	t.Helper()
	c := fake.NewClientBuilder().Build()
	m, err := secrets.Ensure(t.Context(), c, secrets.Options{Name: "test", Users: setup.Users()})
	if err != nil {
		t.Fatal(err)
	}
	f := testGitea{cluster: c}
	port, exec := startGitea(t, giteaFiles(t, c))
	f.endpoint, f.exec = frontdoor.Endpoint{Port: port, CA: m.CA}, exec
	if err := setup.Ensure(t.Context(), c, f.exec, f.endpoint, toFlux, tenant.Sample()); err != nil {
		t.Fatal(err)
	}
	return f
}

// giteaFiles are what the chart mounts into Gitea's container.
func giteaFiles(t *testing.T, c client.Client) map[string]string {
	t.Helper()
	files := map[string]string{"/etc/gitea/app.ini": configMap(t, "gitea", "gitea")["app.ini"]}
	mount(t, c, files, "/etc/gitea-tls/", "gitea", "gitea-tls")
	mount(t, c, files, "/etc/gitea-keys/", "gitea", "gitea-keys")
	return files
}

// configMap is the data of the one that a chart brings.
func configMap(t *testing.T, name, namespace string) map[string]string {
	t.Helper()
	chart, err := fs.Sub(charts.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := render.Chart(chart, name, namespace, nil)
	if err != nil {
		t.Fatal(err)
	}
	objs, err := kube.Decode(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objs {
		if o.GetKind() == "ConfigMap" {
			data, _, err := unstructured.NestedStringMap(o.Object, "data")
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
	}
	t.Fatalf("chart %s has no config map", name)
	return nil
}

// mount puts the keys of a secret into a folder.
func mount(t *testing.T, c client.Client, files map[string]string, dir, namespace, name string) {
	t.Helper()
	for key, value := range secretstest.Values(t, c, namespace, name) {
		files[dir+key] = value
	}
}

func (f testGitea) token(t *testing.T, who string) string {
	t.Helper()
	return secretstest.Values(t, f.cluster, "gitea", "identity-"+who)["token"]
}

// as works with an identity's token; the administrator has a password only.
func (f testGitea) as(t *testing.T, who string) *gitea.Client {
	t.Helper()
	h, err := f.endpoint.Client()
	if err != nil {
		t.Fatal(err)
	}
	auth := gitea.SetToken(f.token(t, who))
	if who == names.UserAdmin {
		auth = gitea.SetBasicAuth(who, secretstest.Values(t, f.cluster, "gitea", "identity-"+who)["password"])
	}
	c, err := gitea.NewClient(f.endpoint.URL("gitea"), gitea.SetHTTPClient(h), gitea.SetContext(t.Context()), auth, gitea.SetGiteaVersion(""))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f testGitea) push(t *testing.T, who, repo, branch, parent, content string) (string, error) {
	t.Helper()
	return setup.Push(t.Context(), f.endpoint, who, f.token(t, who), repo, branch, parent, "change", map[string][]byte{"file": []byte(content)})
}

func (f testGitea) head(t *testing.T, repo string) string {
	t.Helper()
	b, _, err := f.as(t, names.UserAdmin).GetRepoBranch("druppie", repo, "main")
	if err != nil {
		t.Fatal(err)
	}
	return b.Commit.ID
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s was not refused", what)
		return
	}
	t.Logf("%s: %v", what, err)
}

func allowed(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func approve(c *gitea.Client, repo string, pr int64) error {
	_, _, err := c.CreatePullReview("druppie", repo, pr, gitea.CreatePullReviewOptions{State: gitea.ReviewStateApproved, Body: "fine"})
	return err
}

// merge merges as soon as Gitea has worked out whether it can, and gives the
// reason of a refusal, which the SDK drops.
func (f testGitea) merge(t *testing.T, who, repo string, pr int64, force bool) error {
	t.Helper()
	h, err := f.endpoint.Client()
	allowed(t, "client", err)
	for try := 0; ; try++ {
		body, err := json.Marshal(map[string]any{"Do": "squash", "force_merge": force})
		allowed(t, "encode", err)
		url := fmt.Sprintf("%s/api/v1/repos/druppie/%s/pulls/%d/merge", f.endpoint.URL("gitea"), repo, pr)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
		allowed(t, "request", err)
		if who == names.UserAdmin {
			req.SetBasicAuth(who, secretstest.Values(t, f.cluster, "gitea", "identity-"+who)["password"])
		} else {
			req.Header.Set("Authorization", "token "+f.token(t, who))
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := h.Do(req)
		allowed(t, "merge request", err)
		var answer struct{ Message string }
		_ = json.NewDecoder(resp.Body).Decode(&answer) // success has no body
		resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusOK:
			return nil
		case strings.Contains(answer.Message, "try again later") && try < 100:
			time.Sleep(100 * time.Millisecond)
		default:
			return fmt.Errorf("%s: %s", resp.Status, answer.Message)
		}
	}
}

func propose(t *testing.T, c *gitea.Client, repo, branch string) int64 {
	t.Helper()
	pr, _, err := c.CreatePullRequest("druppie", repo, gitea.CreatePullRequestOption{Head: branch, Base: "main", Title: "Change"})
	allowed(t, "pull request", err)
	return pr.Index
}

// stale waits until Gitea has dismissed the approvals of an older state, which
// it does in the background.
func (f testGitea) stale(t *testing.T, repo string, pr int64) {
	t.Helper()
	for range 100 {
		reviews, _, err := f.as(t, names.UserAdmin).ListPullReviews("druppie", repo, pr, gitea.ListPullReviewsOptions{})
		allowed(t, "list reviews", err)
		if !slices.ContainsFunc(reviews, func(r *gitea.PullReview) bool {
			return r.Official && r.State == gitea.ReviewStateApproved && !r.Dismissed
		}) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("the approval of an older state stands")
}

func TestGitea(t *testing.T) {
	f := newTestGitea(t)
	t.Run("a second run changes nothing", f.testAgain)
	t.Run("a lost token is made anew", f.testLostToken)
	for _, service := range tenant.Sample()[0].Services {
		t.Run("nobody gets around review of "+service, func(t *testing.T) { f.testReview(t, service) })
	}
	t.Run("promotions are approved by another than who proposed them", f.testFleet)
	t.Run("only the installer writes the platform", f.testPlatform)
	t.Run("who may read", f.testReading)
	t.Run("the trace receives every event but its own", f.testTraceHooks)
	t.Run("only the trace writes checkpoints", f.testCheckpoints)
	t.Run("a tenant that comes later gets its repositories and its folder in the fleet", f.testTenant)
	t.Run("the trace's login is made once, and anew when it is lost", f.testTraceLogin)
}

// A tenant that comes when the fleet is protected comes by a pull request; killed halfway it is gone on with.
func (f testGitea) testTenant(t *testing.T) {
	water := tenant.Tenant{Name: "water", Services: []string{"pump-service"}}
	all := append(tenant.Sample(), water)
	foundry := f.as(t, names.UserFoundry)
	// Two were proposed before: one by a run that was killed, one by somebody who holds the foundry's token.
	propose := func(branch, content string) int64 {
		t.Helper()
		_, _, err := foundry.CreateFile("druppie", names.RepoFleet, "tenants/water/kustomization.yaml", gitea.CreateFileOptions{
			FileOptions: gitea.FileOptions{Message: "half", BranchName: "main", NewBranchName: branch},
			Content:     base64.StdEncoding.EncodeToString([]byte(content)),
		})
		allowed(t, "propose", err)
		pr, _, err := foundry.CreatePullRequest("druppie", names.RepoFleet, gitea.CreatePullRequestOption{Head: branch, Base: "main", Title: "Add tenant water"})
		allowed(t, "propose", err)
		return pr.Index
	}
	before := []int64{propose("tenant/water-1", setup.EmptyTenant), propose("tenant/water-2", "resources: [../drones]\n")}
	for range 2 {
		allowed(t, "another tenant", setup.Ensure(t.Context(), f.cluster, nil, f.endpoint, toFlux, all))
	}
	raw, _, err := f.as(t, names.UserFlux).GetFile("druppie", names.RepoFleet, "main", "tenants/water/kustomization.yaml")
	if allowed(t, "its folder", err); !strings.Contains(string(raw), "resources: []") {
		t.Errorf("its folder: %s", raw)
	}
	for _, number := range before {
		pr, _, err := foundry.GetPullRequest("druppie", names.RepoFleet, number)
		allowed(t, "read", err)
		if pr.HasMerged || pr.State != gitea.StateClosed {
			t.Errorf("pull request %d, which the installer didn't make: merged = %v, %s", number, pr.HasMerged, pr.State)
		}
	}
	listed, err := setup.ServiceRepositories(t.Context(), f.cluster, f.endpoint)
	if allowed(t, "list", err); !slices.Equal(slices.Sorted(slices.Values(listed)), []string{"drone-service", "level-service", "pump-service"}) {
		t.Errorf("repositories of services: %v", listed)
	}
	if hooks := f.hooks(t, "pump-service"); len(hooks["http"]) != 1 || len(hooks["https"]) != 1 {
		t.Errorf("webhooks: %+v", hooks)
	}
	f.testReview(t, "pump-service")
}

func (f testGitea) testAgain(t *testing.T) {
	before := secretstest.Versions(t, f.cluster)
	head := f.head(t, names.RepoFleet)
	allowed(t, "second run", setup.Ensure(t.Context(), f.cluster, nil, f.endpoint, toFlux, tenant.Sample()))
	if diff := cmp.Diff(before, secretstest.Versions(t, f.cluster)); diff != "" {
		t.Errorf("objects changed:\n%s", diff)
	}
	if f.head(t, names.RepoFleet) != head {
		t.Error("fleet got another commit")
	}
	for _, service := range tenant.Sample()[0].Services {
		hooks := f.hooks(t, service)
		if len(hooks["http"]) != 1 || hooks["http"][0].BranchFilter != "main" || !cmp.Equal(hooks["http"][0].Events, []string{"push"}) {
			t.Errorf("webhooks of the pipeline in %s: %+v", service, hooks["http"])
		}
	}
}

// hooks are a repository's webhooks, by scheme: the pipeline's listener speaks
// http, the trace https.
func (f testGitea) hooks(t *testing.T, repo string) map[string][]*gitea.Hook {
	t.Helper()
	list, _, err := f.as(t, names.UserAdmin).ListRepoHooks("druppie", repo, gitea.ListHooksOptions{})
	allowed(t, "list webhooks", err)
	hooks := map[string][]*gitea.Hook{}
	for _, h := range list {
		scheme, _, _ := strings.Cut(h.Config["url"], ":")
		hooks[scheme] = append(hooks[scheme], h)
	}
	return hooks
}

func (f testGitea) testLostToken(t *testing.T) {
	s := &corev1.Secret{}
	allowed(t, "read", f.cluster.Get(t.Context(), client.ObjectKey{Namespace: "gitea", Name: "identity-foundry"}, s))
	old := string(s.Data["token"])
	s.Data["token"] = []byte("0000000000000000000000000000000000000000")
	allowed(t, "damage", f.cluster.Update(t.Context(), s))
	allowed(t, "repair", setup.Ensure(t.Context(), f.cluster, nil, f.endpoint, toFlux, tenant.Sample()))
	renewed := f.token(t, names.UserFoundry)
	if renewed == old {
		t.Error("the token is still the one that was lost")
	}
	if got := secretstest.Values(t, f.cluster, "foundry", "gitea-promoter")["token"]; got != renewed {
		t.Error("the pipeline has another token than the identity")
	}
	_, _, err := f.as(t, names.UserFoundry).GetMyUserInfo()
	allowed(t, "work with the new token", err)
}

func (f testGitea) testReview(t *testing.T, repo string) {
	builder, reviewer, admin := f.as(t, names.UserBuilder), f.as(t, names.UserReviewer), f.as(t, names.UserAdmin)

	for _, who := range []string{names.UserBuilder, names.UserReviewer, names.UserFoundry, names.UserInstaller} {
		_, err := f.push(t, who, repo, "main", "", "straight to main")
		refused(t, who+" pushes to main", err)
	}
	_, _, err := admin.CreateFile("druppie", repo, "by-admin", gitea.CreateFileOptions{
		FileOptions: gitea.FileOptions{BranchName: "main", Message: "x"}, Content: "eA==",
	})
	refused(t, "the administrator commits to main", err)

	main := f.head(t, repo)
	first, err := f.push(t, names.UserBuilder, repo, "change", main, "one")
	allowed(t, "builder pushes a branch", err)
	pr := propose(t, builder, repo, "change")

	refused(t, "merge without approval", f.merge(t, names.UserReviewer, repo, pr, false))
	refused(t, "the author approves", approve(builder, repo, pr))
	refused(t, "administrator's forced merge", f.merge(t, names.UserAdmin, repo, pr, true))
	allowed(t, "the administrator may say what it likes", approve(admin, repo, pr))
	refused(t, "merge with an approval of someone who isn't a reviewer", f.merge(t, names.UserReviewer, repo, pr, false))

	_, err = f.push(t, names.UserReviewer, repo, "change", first, "smuggled")
	refused(t, "the reviewer pushes to what it is to approve", err)
	_, err = f.push(t, names.UserBuilder, repo, "refs/heads/main", main, "called as main's ref is")
	refused(t, "builder makes a branch beside which Git doesn't know main any more", err)
	_, _, err = builder.CreateBranch("druppie", repo, gitea.CreateBranchOption{BranchName: "refs/heads/main", OldBranchName: "main"})
	refused(t, "builder makes it by the API", err)
	_, err = f.push(t, names.UserBuilder, repo, "main", first, "history rewritten")
	refused(t, "force push to main", err)
	_, _, err = reviewer.CreateFork("druppie", repo, gitea.CreateForkOption{})
	refused(t, "fork", err)

	allowed(t, "the reviewer approves", approve(reviewer, repo, pr))
	_, err = f.push(t, names.UserBuilder, repo, "change", first, "two")
	allowed(t, "builder pushes again", err)
	f.stale(t, repo, pr)
	refused(t, "merge with an approval of an older state", f.merge(t, names.UserReviewer, repo, pr, false))
	_, _, err = reviewer.CreatePullReview("druppie", repo, pr, gitea.CreatePullReviewOptions{State: gitea.ReviewStateRequestChanges, Body: "no"})
	allowed(t, "the reviewer asks for changes", err)
	refused(t, "merge of what was rejected", f.merge(t, names.UserReviewer, repo, pr, false))
	allowed(t, "the reviewer approves", approve(reviewer, repo, pr))
	refused(t, "the author merges", f.merge(t, names.UserBuilder, repo, pr, false))
	allowed(t, "merge", f.merge(t, names.UserReviewer, repo, pr, false))
	if f.head(t, repo) == main {
		t.Error("main didn't move")
	}
}

func (f testGitea) testFleet(t *testing.T) {
	const repo = names.RepoFleet
	foundry, approver := f.as(t, names.UserFoundry), f.as(t, names.UserFoundryReviewer)
	main := f.head(t, repo)
	for _, who := range []string{names.UserFoundry, names.UserFoundryReviewer, names.UserFlux, names.UserBuilder} {
		_, err := f.push(t, who, repo, "main", "", "straight to main")
		refused(t, who+" pushes to main", err)
	}
	_, err := f.push(t, names.UserFoundryReviewer, repo, "own", main, "own idea")
	refused(t, "the approver pushes a branch", err)
	_, err = f.push(t, names.UserFoundry, repo, "promote", main, "new digest")
	allowed(t, "foundry pushes a branch", err)
	pr := propose(t, foundry, repo, "promote")
	refused(t, "merge without approval", f.merge(t, names.UserFoundryReviewer, repo, pr, false))
	refused(t, "the author approves", approve(foundry, repo, pr))
	allowed(t, "the approver approves", approve(approver, repo, pr))
	refused(t, "the author merges", f.merge(t, names.UserFoundry, repo, pr, false))
	allowed(t, "the approver merges", f.merge(t, names.UserFoundryReviewer, repo, pr, false))
}

func (f testGitea) testPlatform(t *testing.T) {
	files := map[string][]byte{
		"clusters/druppie/a.yaml": []byte("a: 1\n"),
		"clusters/druppie-b/x":    []byte("x"), // sorts before the folder clusters/druppie/
		"kyverno/b.yaml":          []byte("b: 2\n"),
	}
	first, err := setup.PushPlatform(t.Context(), f.cluster, f.endpoint, files, "Install the platform")
	allowed(t, "push", err)
	if head := f.head(t, names.RepoPlatform); head != first {
		t.Errorf("main is at %s, want %s", head, first)
	}
	again, err := setup.PushPlatform(t.Context(), f.cluster, f.endpoint, files, "Again")
	allowed(t, "push again", err)
	if again != first {
		t.Error("the same files made another commit")
	}
	delete(files, "kyverno/b.yaml")
	second, err := setup.PushPlatform(t.Context(), f.cluster, f.endpoint, files, "Drop a part")
	allowed(t, "push less", err)
	if second == first {
		t.Error("a file that is gone made no commit")
	}
	_, resp, err := f.as(t, names.UserFlux).GetContents("druppie", names.RepoPlatform, "main", "kyverno/b.yaml")
	if err == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is gone: %v", err)
	}
	_, err = f.push(t, names.UserInstaller, names.RepoPlatform, "main", first, "history rewritten")
	refused(t, "force push", err)
	for _, who := range []string{names.UserFlux, names.UserBuilder, names.UserFoundry} {
		_, err := f.push(t, who, names.RepoPlatform, "main", "", "x")
		refused(t, who+" pushes", err)
	}
}

func (f testGitea) testReading(t *testing.T) {
	h, err := f.endpoint.Client()
	allowed(t, "client", err)
	for path, want := range map[string]int{
		"/druppie/drone-service": http.StatusOK,
		"/druppie/platform":      http.StatusNotFound,
		"/druppie/fleet":         http.StatusNotFound,
		"/user/sign_up":          http.StatusOK, // a page that says it is off
		"/druppie/fleet.git/info/refs?service=git-upload-pack":         http.StatusUnauthorized,
		"/druppie/drone-service.git/info/refs?service=git-upload-pack": http.StatusOK,
	} {
		resp, err := h.Get(f.endpoint.URL("gitea") + path)
		allowed(t, path, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
	resp, err := h.Get(f.endpoint.URL("gitea") + "/")
	allowed(t, "front page", err)
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	allowed(t, "front page", err)
	assets := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+\.(?:css|js)[^"]*)"`).FindAllSubmatch(page, -1)
	if len(assets) == 0 {
		t.Errorf("the front page has no styles and no scripts:\n%s", page)
	}
	for _, a := range assets {
		resp, err := h.Get(f.endpoint.URL("gitea") + string(a[1]))
		allowed(t, string(a[1]), err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", a[1], resp.Status)
		}
	}
	_, err = h.Get(strings.Replace(f.endpoint.URL("gitea"), "https", "http", 1))
	refused(t, "plain http", err)
	_, err = h.Get("https://example.org")
	refused(t, "a name that isn't ours", err)
	for _, repo := range []string{names.RepoPlatform, names.RepoFleet} {
		_, _, err := f.as(t, names.UserFlux).GetRepo("druppie", repo)
		allowed(t, "Flux reads "+repo, err)
		_, _, err = f.as(t, names.UserBuilder).GetRepo("druppie", repo)
		refused(t, "the builder reads "+repo, err)
	}
}

func (f testGitea) testTraceHooks(t *testing.T) {
	want := []string{"pull_request", "pull_request_review", "pull_request_sync", "push"}
	ids := func() map[string]int64 {
		got := map[string]int64{}
		for _, repo := range append(tenant.Sample()[0].Services, names.RepoPlatform, names.RepoFleet) {
			hooks := f.hooks(t, repo)["https"]
			if len(hooks) != 1 {
				t.Fatalf("%s: %d webhooks of the trace", repo, len(hooks))
			}
			slices.Sort(hooks[0].Events)
			if !cmp.Equal(hooks[0].Events, want) || !hooks[0].Active || hooks[0].BranchFilter != "" {
				t.Errorf("%s: %+v", repo, hooks[0])
			}
			got[repo] = hooks[0].ID
		}
		return got
	}
	before := ids()
	if hooks := f.hooks(t, names.RepoTrace); len(hooks) != 0 {
		t.Errorf("a checkpoint would make a record, and that a checkpoint: %+v", hooks)
	}
	allowed(t, "again", setup.Ensure(t.Context(), f.cluster, nil, f.endpoint, toFlux, tenant.Sample()))
	if diff := cmp.Diff(before, ids()); diff != "" {
		t.Errorf("webhooks were made anew: %s", diff)
	}
	s := &corev1.Secret{}
	allowed(t, "read", f.cluster.Get(t.Context(), client.ObjectKey{Namespace: "druppie-system", Name: "tracedb-gitea-webhook"}, s))
	s.Data["secret"] = []byte("another")
	allowed(t, "another secret", f.cluster.Update(t.Context(), s))
	allowed(t, "repair", setup.Ensure(t.Context(), f.cluster, nil, f.endpoint, toFlux, tenant.Sample()))
	for repo, id := range ids() {
		if id == before[repo] {
			t.Errorf("%s signs with a secret that nobody knows any more", repo)
		}
	}
}

func (f testGitea) testCheckpoints(t *testing.T) {
	for _, who := range []string{names.UserInstaller, names.UserBuilder, names.UserFoundry, names.UserFlux} {
		_, err := f.push(t, who, names.RepoTrace, "main", "", "forged")
		refused(t, who+" pushes a checkpoint", err)
	}
	_, _, err := f.as(t, names.UserAdmin).CreateFile("druppie", names.RepoTrace, "by-admin", gitea.CreateFileOptions{
		FileOptions: gitea.FileOptions{BranchName: "main", Message: "x"}, Content: "eA==",
	})
	refused(t, "the administrator commits a checkpoint", err)
	first, err := f.push(t, names.UserTrace, names.RepoTrace, "main", "", "one")
	allowed(t, "the trace pushes", err)
	_, err = f.push(t, names.UserTrace, names.RepoTrace, "main", "", "two")
	allowed(t, "the trace pushes again", err)
	_, err = f.push(t, names.UserTrace, names.RepoTrace, "main", first, "rewritten")
	refused(t, "the trace rewrites history", err)
	if got := secretstest.Values(t, f.cluster, "druppie-system", "tracedb-gitea-token")["token"]; got != f.token(t, names.UserTrace) {
		t.Error("the trace's pod has another token than its identity")
	}
	for _, repo := range []string{names.RepoPlatform, names.RepoFleet} {
		_, _, err := f.as(t, names.UserTrace).GetRepo("druppie", repo)
		allowed(t, "the trace reads "+repo, err)
		_, err = f.push(t, names.UserTrace, repo, "side", f.head(t, repo), "x")
		refused(t, "the trace pushes to "+repo, err)
	}
}

func (f testGitea) testTraceLogin(t *testing.T) {
	admin := f.as(t, names.UserAdmin)
	one := func() *gitea.Oauth2 {
		apps, _, err := admin.ListOauth2(gitea.ListOauth2Option{})
		allowed(t, "list applications", err)
		if len(apps) != 1 || apps[0].Name != "druppie-trace" || !apps[0].ConfidentialClient ||
			!cmp.Equal(apps[0].RedirectURIs, []string{f.endpoint.URL("trace") + "/login/callback"}) {
			t.Fatalf("applications %+v", apps)
		}
		if got := secretstest.Values(t, f.cluster, "druppie-system", "tracedb-oauth"); got["client-id"] != apps[0].ClientID || got["client-secret"] == "" {
			t.Errorf("the trace's pod has client %q of %q", got["client-id"], apps[0].ClientID)
		}
		return apps[0]
	}
	before := one()
	allowed(t, "again", setup.Ensure(t.Context(), f.cluster, nil, f.endpoint, toFlux, tenant.Sample()))
	if one().ID != before.ID {
		t.Error("the application was made anew")
	}
	s := &corev1.Secret{}
	s.Namespace, s.Name = "druppie-system", "tracedb-oauth"
	allowed(t, "lose the secret", f.cluster.Delete(t.Context(), s))
	allowed(t, "repair", setup.Ensure(t.Context(), f.cluster, nil, f.endpoint, toFlux, tenant.Sample()))
	if one().ClientID == before.ClientID {
		t.Error("the application is still the one whose secret nobody knows")
	}
	auditor := secretstest.Values(t, f.cluster, "gitea", "identity-auditor")
	if auditor["token"] != "" {
		t.Error("the auditor, a person, has a token")
	}
	h, err := f.endpoint.Client()
	allowed(t, "client", err)
	c, err := gitea.NewClient(f.endpoint.URL("gitea"), gitea.SetHTTPClient(h), gitea.SetContext(t.Context()),
		gitea.SetBasicAuth("auditor", auditor["password"]), gitea.SetGiteaVersion(""))
	allowed(t, "client", err)
	_, _, err = c.GetMyUserInfo()
	allowed(t, "the auditor logs in", err)
}
