package bootstrap

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// Credential is how an identity logs in somewhere.
type Credential struct {
	Where    string `json:"where"`
	Username string `json:"username"`
	Password string `json:"password"`
	Token    string `json:"token,omitempty"`
}

// Credentials reads the identities from the cluster, the only place that holds them.
func Credentials(ctx context.Context, o Options) ([]Credential, error) {
	c, _, err := openRunning(ctx, o)
	if err != nil {
		return nil, err
	}
	list := &corev1.SecretList{}
	if err := c.List(ctx, list, client.InNamespace(names.NamespaceGitea)); err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	var out []Credential
	for _, s := range list.Items {
		if strings.HasPrefix(s.Name, names.IdentitySecret("")) {
			out = append(out, credential("Gitea", s))
		}
	}
	writer := corev1.Secret{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: names.NamespaceFoundry, Name: names.RegistryWriter}, &writer); err != nil {
		return nil, fmt.Errorf("read the registry's writer: %w", err)
	}
	return append(out, credential("Registry", writer)), nil
}

func credential(where string, s corev1.Secret) Credential {
	return Credential{
		Where: where, Username: string(s.Data["username"]),
		Password: string(s.Data["password"]), Token: string(s.Data["token"]),
	}
}

// Running says at which port of this machine the front door of the platform that o names is; 0: o names a context,
// whose front door is elsewhere. An error if it doesn't run.
func Running(ctx context.Context, o Options) (port int, err error) {
	if o.Context != "" {
		return 0, nil
	}
	state, err := cluster.Inspect(ctx, o.Name)
	if err != nil {
		return 0, err
	}
	if !state.Running() {
		up := "druppie-up up"
		if o.Name != names.DefaultPlatform {
			up += " --name " + o.Name
		}
		return 0, ui.WithHint(fmt.Errorf("platform %s isn't running", o.Name), "bring it up with "+up)
	}
	return state.Port, nil
}

// openRunning returns a client of the platform that o names, and the front door's port; 0: it isn't on this machine.
func openRunning(ctx context.Context, o Options) (*kube.Client, int, error) {
	port, err := Running(ctx, o)
	if err != nil {
		return nil, 0, err
	}
	open := func() (*kube.Client, error) { return kube.New(o.Kubeconfig()) }
	if o.Context != "" {
		open = func() (*kube.Client, error) { return kube.NewForContext(o.Context) }
	}
	c, err := open()
	return c, port, err
}
