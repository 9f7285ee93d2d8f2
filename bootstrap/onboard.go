package bootstrap

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/bootstrap/gitea"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// Onboarded is a tenant of the platform, and where people find what it has.
type Onboarded struct {
	tenant.Tenant
	Fleet        string `json:"fleet"` // folder of the fleet that says what runs in the namespace
	Repositories []URL  `json:"repositories"`
}

// Tenants are those of the running platform that o names.
func Tenants(ctx context.Context, o Options) ([]tenant.Tenant, error) {
	c, _, err := openRunning(ctx, o)
	if err != nil {
		return nil, err
	}
	return tenant.List(ctx, c)
}

// Onboard gives a running platform more tenants, or those that it has more services: each has a namespace with
// limits, which the policies guard, the account that Flux applies its folder of the fleet as, and for each service a
// protected repository that the foundry builds. A new one that names no service gets one. It may be killed and run
// again; Up also goes on with it. What can't be changes nothing; what else isn't as this program would have it, it
// makes so as Up does.
func Onboard(ctx context.Context, o Options, rep ui.Reporter, add ...tenant.Tenant) ([]Onboarded, error) {
	for _, t := range add {
		if len(t.Services) == 0 {
			t.Services = []string{"to-be-named"}
		}
		if err := t.Validate(); err != nil {
			return nil, ui.Usage(err)
		}
	}
	c, port, err := openRunning(ctx, o)
	if err != nil {
		return nil, err
	}
	has, err := tenant.List(ctx, c)
	if err != nil {
		return nil, err
	}
	for i, t := range add {
		if at := slices.IndexFunc(has, func(h tenant.Tenant) bool { return h.Name == t.Name }); len(t.Services) == 0 && at >= 0 {
			add[i].Services = has[at].Services
		} else if len(t.Services) == 0 {
			add[i].Services = []string{t.Name + "-service"}
		}
		if err := add[i].Validate(); err != nil {
			return nil, ui.Usage(err)
		}
	}
	state, err := cluster.Inspect(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	o.Workers, o.GPUNodes = state.Size()
	if err := free(ctx, c.Client, port, has, add); err != nil {
		return nil, err
	}
	all, err := tenant.Ensure(ctx, c.Client, add...)
	if err != nil {
		return nil, err
	}
	if _, err := Up(ctx, o, rep); err != nil {
		return nil, err
	}
	var done []Onboarded
	for _, t := range add {
		i := slices.IndexFunc(all, func(has tenant.Tenant) bool { return has.Name == t.Name })
		o := Onboarded{Tenant: all[i], Fleet: "tenants/" + t.Name}
		for _, s := range o.Services {
			o.Repositories = append(o.Repositories, URL{
				Title: s, Address: fmt.Sprintf("https://gitea.%s:%d/%s/%s", names.Domain, port, names.Organisation, s),
			})
		}
		done = append(done, o)
	}
	return done, nil
}

// free refuses a repository that is there and no tenant's: somebody else made it, for something else.
func free(ctx context.Context, c client.Client, port int, has, add []tenant.Tenant) error {
	ca := &corev1.ConfigMap{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: names.NamespaceSystem, Name: names.CA}, ca); err != nil {
		return fmt.Errorf("read the platform's CA: %w", err)
	}
	taken, err := gitea.ServiceRepositories(ctx, c, frontdoor.Endpoint{Port: port, CA: []byte(ca.Data[names.CAKey])})
	if err != nil {
		return err
	}
	for _, t := range add {
		for _, s := range t.Services {
			listed := slices.ContainsFunc(has, func(h tenant.Tenant) bool { return slices.Contains(h.Services, s) })
			if slices.Contains(taken, s) && !listed {
				return ui.Usage(ui.WithHint(fmt.Errorf("there is a repository %s/%s already, and it is no service of a tenant", names.Organisation, s),
					"choose another name with --service"))
			}
		}
	}
	return nil
}
