package gitops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"code.gitea.io/sdk/gitea"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// Exec runs a command where Gitea runs and returns its output.
type Exec func(ctx context.Context, cmd []string, stdin io.Reader) (string, error)

// GiteaExec runs commands in Gitea's pod.
func GiteaExec(c *kube.Client) Exec {
	return func(ctx context.Context, cmd []string, stdin io.Reader) (string, error) {
		pods := &corev1.PodList{}
		if err := c.List(ctx, pods, client.InNamespace(names.NamespaceGitea), client.MatchingLabels{"app.kubernetes.io/name": "gitea"}); err != nil {
			return "", fmt.Errorf("find gitea's pod: %w", err)
		}
		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				return c.Exec(ctx, p.Namespace, p.Name, "gitea", cmd, stdin)
			}
		}
		return "", errors.New("gitea has no running pod")
	}
}

// forge is Gitea as its administrator sees it.
type forge struct {
	keeper
	endpoint Endpoint
	http     *http.Client
	exec     Exec
	admin    *giteaclient.Client
}

// EnsureGitea makes the organisation with its identities, repositories, branch
// protection and webhooks, and the login to the trace, and keeps each identity's
// token in the cluster. Gitea must answer already. A second run writes nothing.
func EnsureGitea(ctx context.Context, c Objects, exec Exec, endpoint Endpoint) error {
	httpClient, err := endpoint.Client()
	if err != nil {
		return err
	}
	f := &forge{keeper: keeper{c}, endpoint: endpoint, http: httpClient, exec: exec}
	if err := f.waitForAnswer(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"administrator", f.ensureAdmin},
		{"identities", f.ensureUsers},
		{"organisation", f.ensureOrganisation},
		{"repositories", f.ensureRepositories},
		{"tokens", f.ensureTokens},
		{"webhook", f.ensureWebhook},
		{"webhooks of the trace", f.ensureTraceHooks},
		{"login to the trace", f.ensureTraceLogin},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("gitea: %s: %w", step.what, err)
		}
	}
	return nil
}

// answerPatience is how long Gitea may take to answer. After a restart of the
// node the API server still knows every pod as ready, until the kubelet has made
// all of them anew: with the whole platform on two cores that takes minutes.
const answerPatience = 5 * time.Minute

// waitForAnswer bridges the time between a pod that counts as ready and a front
// door that leads to it.
func (f *forge) waitForAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	for {
		err := f.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gitea doesn't answer at %s: %w", f.endpoint.URL("gitea"), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (f *forge) ping(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.endpoint.URL("gitea")+"/api/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// as returns a client that works with a name and password.
func (f *forge) as(ctx context.Context, username, password string) (*giteaclient.Client, error) {
	return giteaclient.New(ctx, giteaclient.Options{URL: f.endpoint.URL("gitea"), HTTP: f.http, Username: username, Password: password})
}

// makeAdmin takes the account's name, its address, and on standard input its
// password.
const makeAdmin = `read -r password
gitea() { /app/gitea/gitea --config /etc/gitea/app.ini admin user "$@"; }
gitea change-password --must-change-password=false --username "$0" --password "$password" 2>/dev/null ||
gitea create --admin --must-change-password=false --username "$0" --email "$1" --password "$password"`

// ensureAdmin makes the first account inside Gitea's own container, since no
// other way in exists yet. The password goes through standard input, so that it
// is in no audit log and no process list outside of the container.
func (f *forge) ensureAdmin(ctx context.Context) error {
	data, err := f.identity(ctx, names.UserAdmin)
	if err != nil {
		return err
	}
	password := string(data["password"])
	if f.admin, err = f.as(ctx, names.UserAdmin, password); err != nil {
		return err
	}
	if _, resp, err := f.admin.GetMyUserInfo(); err == nil {
		return nil
	} else if giteaclient.Status(resp) != http.StatusUnauthorized {
		return err
	}
	// There is no such account, or it has another password.
	if _, err := f.exec(ctx, []string{"/bin/sh", "-ec", makeAdmin, names.UserAdmin, email(names.UserAdmin)}, strings.NewReader(password+"\n")); err != nil {
		return err
	}
	_, _, err = f.admin.GetMyUserInfo()
	return err
}

func (f *forge) ensureUsers(ctx context.Context) error {
	for _, id := range identities() {
		data, err := f.identity(ctx, id.name)
		if err != nil {
			return err
		}
		if _, resp, err := f.admin.GetUserInfo(id.name); err == nil {
			continue
		} else if giteaclient.Status(resp) != http.StatusNotFound {
			return fmt.Errorf("%s: %w", id.name, err)
		}
		no := false
		if _, _, err := f.admin.AdminCreateUser(gitea.CreateUserOption{
			Username: id.name, FullName: id.title, Email: string(data["email"]),
			Password: string(data["password"]), MustChangePassword: &no,
		}); err != nil {
			return fmt.Errorf("%s: %w", id.name, err)
		}
	}
	return nil
}

func (f *forge) ensureOrganisation(context.Context) error {
	_, resp, err := f.admin.GetOrg(names.Organisation)
	if giteaclient.Status(resp) != http.StatusNotFound {
		return err
	}
	_, _, err = f.admin.CreateOrg(gitea.CreateOrgOption{
		Name: names.Organisation, FullName: "Druppie", Visibility: gitea.VisibleTypePublic,
	})
	return err
}

// identity reads what the cluster keeps of an identity.
func (f *forge) identity(ctx context.Context, name string) (map[string][]byte, error) {
	s := &corev1.Secret{}
	if err := f.Get(ctx, client.ObjectKey{Namespace: names.NamespaceGitea, Name: names.IdentitySecret(name)}, s); err != nil {
		return nil, fmt.Errorf("credentials of %s: %w", name, err)
	}
	return s.Data, nil
}
