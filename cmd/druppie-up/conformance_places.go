package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/scenarios"
)

// maxParallel is how many scenarios may run side by side. Each keeps a pipeline and a service busy.
const maxParallel = 4

// runIn runs scenarios in one place; named says in the names of phases which scenario they are of.
func runIn(scenario scenarios.Options, at scenarios.Place, named bool) conformance.RunFunc {
	scenario.Place = at
	return func(ctx context.Context, name string) (scenarios.Result, error) {
		scenario := scenario
		if scenario.Name = name; named {
			scenario.Label = name + " in " + at.Tenant + ": "
		}
		return scenarios.Run(ctx, scenario)
	}
}

// beside are the places in which scenarios run beside those in the sample tenant. They are tenants for nothing else,
// whose services the scenarios overwrite; who proves a platform doesn't change it, so somebody onboards them before.
func (o *conformanceOptions) beside(ctx context.Context, scenario scenarios.Options) ([]conformance.RunFunc, error) {
	if o.parallel == 1 {
		return nil, nil
	}
	there, err := bootstrap.Tenants(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	var all []conformance.RunFunc
	var missing []string
	for i := 1; i < o.parallel; i++ {
		at := scenarios.Place{Tenant: fmt.Sprintf("conformance-%d", i), Algorithm: fmt.Sprintf("alg-confor%02d", i)}
		at.Service = at.Tenant + "-service"
		if !slices.ContainsFunc(there, func(t tenant.Tenant) bool { return t.Name == at.Tenant && slices.Contains(t.Services, at.Service) }) {
			missing = append(missing, at.Tenant)
		}
		all = append(all, runIn(scenario, at, true))
	}
	if len(missing) > 0 {
		return nil, ui.WithHint(fmt.Errorf("--parallel %d needs %d tenants beside the sample, and %s isn't there", o.parallel, o.parallel-1, strings.Join(missing, ", ")),
			"make them: druppie-up onboard "+strings.Join(missing, " ")+platformArg(o.Options))
	}
	return all, nil
}
