package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/policies"
	"github.com/druppie/druppie-up/scenarios/platform"
)

type havenOptions struct {
	lang string
	options
}

func newConformanceHavenCmd(a *app) *cobra.Command {
	opts := &havenOptions{options: options{app: a}}
	cmd := command(&cobra.Command{
		Use:   "haven",
		Short: "Ask the platform what the standard Haven asks of a cluster",
		Long: `haven puts the checks of Haven, the standard of the Dutch municipalities for platforms on Kubernetes, as
questions to the running platform, and changes nothing. Where the platform is otherwise on purpose that is a
declared deviation, with its reason. It isn't Haven's own checker, and gives no certificate. It fails when a
check isn't ok and no deviation is declared.`,
		Example: `  druppie-up conformance haven
  druppie-up conformance haven --lang nl
  druppie-up conformance haven -o json`,
	}, &opts.Options, func(ctx context.Context) error { return runHaven(ctx, opts) })
	platformFlags(cmd, &opts.Options)
	outputFlag(cmd, &opts.format)
	langFlag(cmd, &opts.lang)
	return cmd
}

func runHaven(ctx context.Context, opts *havenOptions) error {
	profile, err := conformance.LoadProfile(policies.Haven)
	if err != nil {
		return err
	}
	port, err := bootstrap.Running(ctx, opts.Options)
	if err != nil {
		return err
	}
	p, closePlatform, err := conformance.Connect(ctx, platform.Options{Kubeconfig: opts.Kubeconfig(), Context: opts.Context, Port: port})
	if err != nil {
		return err
	}
	defer closePlatform()
	answers, err := p.Ask(ctx, profile)
	if err != nil {
		return err
	}
	v := view{headers: []string{"check", "outcome", "what it asks", "why"}}
	var failed []string
	for _, a := range answers {
		v.rows = append(v.rows, []string{a.ID, string(a.Outcome), a.Title.In(opts.lang), a.Why.In(opts.lang)})
		if a.Outcome == conformance.NotOK {
			failed = append(failed, a.ID)
		}
	}
	err = writeResult(opts.app.Out, opts.format, answers, v)
	if len(failed) > 0 {
		err = errors.Join(err, fmt.Errorf("not ok, and no deviation is declared: %s", strings.Join(failed, ", ")))
	}
	return err
}
