// Package gitea sets up what Gitea holds: the organisation with its identities,
// repositories, branch protection, webhooks and tokens, and what is pushed to the
// platform repository. What is there already stays as it is; what is missing is
// added. It refuses to install Gitea and to render what it pushes.
package gitea

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	sdk "code.gitea.io/sdk/gitea"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/internal/names"
)

// Exec runs a command where Gitea runs and returns its output.
type Exec func(ctx context.Context, cmd []string, stdin io.Reader) (string, error)

// PodExec runs commands in Gitea's pod.
func PodExec(c *kube.Client) Exec {
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

// Webhook is where Gitea sends events, and the key that it signs them with.
type Webhook struct {
	URL    string
	Secret []byte
}

// setup is Gitea as its administrator sees it.
type setup struct {
	client.Client
	endpoint frontdoor.Endpoint
	http     *http.Client
	exec     Exec
	flux     Webhook
	tenants  []tenant.Tenant
	api      *giteaclient.Client // as the administrator
}

// Ensure makes the organisation with its identities, repositories, branch
// protection and webhooks, and the login to the trace, and keeps each identity's
// token in the cluster. The webhook flux is called on pushes to what Flux installs
// from. Each tenant has the repositories of its services, and a folder in the fleet. A second run writes nothing.
func Ensure(ctx context.Context, c client.Client, exec Exec, endpoint frontdoor.Endpoint, flux Webhook, tenants []tenant.Tenant) error {
	httpClient, err := endpoint.Client()
	if err != nil {
		return err
	}
	s := &setup{Client: c, endpoint: endpoint, http: httpClient, exec: exec, flux: flux, tenants: tenants}
	if err := s.waitHealthy(ctx); err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		run  func(context.Context) error
	}{
		{"administrator", s.ensureAdmin},
		{"identities", s.ensureUsers},
		{"organisation", s.ensureOrganisation},
		{"repositories", s.ensureRepositories},
		{"tokens", s.ensureTokens},
		{"webhooks", s.ensureWebhooks},
		{"folders of tenants in the fleet", s.ensureFleet},
		{"login to the trace", s.ensureTraceLogin},
	} {
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("gitea: %s: %w", step.what, err)
		}
	}
	return nil
}

// healthTimeout is how long Gitea may take to become healthy. After a restart of
// the node the API server still shows every pod as ready, until the kubelet has
// made all of them anew: with the whole platform on two cores that takes minutes.
const healthTimeout = 5 * time.Minute

// waitHealthy waits until the front door leads to Gitea's pod, which is ready.
func (s *setup) waitHealthy(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, healthTimeout, true, func(ctx context.Context) (bool, error) {
		last = s.ping(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("gitea doesn't answer at %s: %w", s.endpoint.URL("gitea"), last)
	}
	return nil
}

func (s *setup) ping(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint.URL("gitea")+"/api/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}

// as returns a client that works with a name and password, which Gitea takes a
// quarter of a second to check at each request: a token is for more than a few.
func (s *setup) as(ctx context.Context, username, password string) (*giteaclient.Client, error) {
	return giteaclient.New(ctx, giteaclient.Options{
		URL: s.endpoint.URL("gitea"), HTTP: s.http, Username: username, Password: password,
	})
}

// with returns a client that works with a token.
func (s *setup) with(ctx context.Context, token string) (*giteaclient.Client, error) {
	return giteaclient.New(ctx, giteaclient.Options{URL: s.endpoint.URL("gitea"), HTTP: s.http, Token: giteaclient.Token(token)})
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
func (s *setup) ensureAdmin(ctx context.Context) error {
	id := identities()[0]
	data, err := identityData(ctx, s, id.name)
	if err != nil {
		return err
	}
	token, err := s.validToken(ctx, id.name, data)
	if err != nil {
		return err
	}
	if token == "" {
		if err := s.ensureAdminAccount(ctx, string(data["password"])); err != nil {
			return err
		}
		if token, err = s.ensureToken(ctx, id); err != nil {
			return err
		}
	}
	s.api, err = s.with(ctx, token)
	return err
}

func (s *setup) ensureAdminAccount(ctx context.Context, password string) error {
	c, err := s.as(ctx, names.UserAdmin, password)
	if err != nil {
		return err
	}
	if _, resp, err := c.GetMyUserInfo(); err == nil {
		return nil
	} else if giteaclient.Status(resp) != http.StatusUnauthorized {
		return err
	}
	// There is no such account, or it has another password.
	if _, err := s.exec(ctx, []string{"/bin/sh", "-ec", makeAdmin, names.UserAdmin, email(names.UserAdmin)}, strings.NewReader(password+"\n")); err != nil {
		return err
	}
	_, _, err = c.GetMyUserInfo()
	return err
}

func (s *setup) ensureUsers(ctx context.Context) error {
	for _, id := range identities()[1:] {
		if _, resp, err := s.api.GetUserInfo(id.name); err == nil {
			continue
		} else if giteaclient.Status(resp) != http.StatusNotFound {
			return fmt.Errorf("%s: %w", id.name, err)
		}
		data, err := identityData(ctx, s, id.name)
		if err != nil {
			return err
		}
		no := false
		if _, _, err := s.api.AdminCreateUser(sdk.CreateUserOption{
			Username: id.name, FullName: id.title, Email: string(data["email"]),
			Password: string(data["password"]), MustChangePassword: &no,
		}); err != nil {
			return fmt.Errorf("%s: %w", id.name, err)
		}
	}
	return nil
}

func (s *setup) ensureOrganisation(context.Context) error {
	_, resp, err := s.api.GetOrg(names.Organisation)
	if giteaclient.Status(resp) != http.StatusNotFound {
		return err
	}
	_, _, err = s.api.CreateOrg(sdk.CreateOrgOption{
		Name: names.Organisation, FullName: "Druppie", Visibility: sdk.VisibleTypePublic,
	})
	return err
}

// identityData reads what the cluster keeps of an identity.
func identityData(ctx context.Context, c client.Reader, name string) (map[string][]byte, error) {
	return secretData(ctx, c, names.NamespaceGitea, names.IdentitySecret(name))
}

func secretData(ctx context.Context, c client.Reader, namespace, name string) (map[string][]byte, error) {
	secret := &corev1.Secret{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, secret); err != nil {
		return nil, fmt.Errorf("secret %s/%s: %w", namespace, name, err)
	}
	return secret.Data, nil
}
