package bootstrap

import (
	"context"
	"errors"
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

// openRunning returns a client of the cluster that o names, and the front door's
// port; an error if it doesn't run.
func openRunning(ctx context.Context, o Options) (*kube.Client, int, error) {
	state, err := cluster.Inspect(ctx, o.Name)
	if err != nil {
		return nil, 0, err
	}
	if !state.Running() {
		return nil, 0, ui.WithHint(errors.New("cluster "+o.Name+" isn't running"), "bring it up with `druppie-up up`")
	}
	c, err := kube.New(o.Kubeconfig())
	return c, state.Port, err
}
