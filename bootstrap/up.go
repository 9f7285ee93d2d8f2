// Package bootstrap brings the platform up, takes it down and says how it is.
// It owns the order of things: one visible list of steps, each of which looks
// at what is there and does what is missing. It keeps no progress file (the
// cluster is the state) and refuses to do itself what a package below it does.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/druppie/druppie-up/internal/ui"
)

// step brings something about; run returns a short summary of what came of it.
// A step that finds everything there says so and changes nothing.
type step struct {
	id, title string
	run       func(context.Context, ui.Task) (summary string, err error)
}

// Summary is what `up` has to say when everything is ready.
type Summary struct {
	Name       string        `json:"name"`
	Kubeconfig string        `json:"kubeconfig"`
	URLs       []URL         `json:"urls"`
	Revision   string        `json:"revision"` // commit of the platform repository that runs
	Supply     string        `json:"supply"`
	Took       time.Duration `json:"took"`
}

// URL is a page for people.
type URL struct {
	Title   string `json:"title"`
	Address string `json:"address"`
}

// Up makes the platform that o describes, or what is missing of it. It may be
// killed at any moment and run again.
func Up(ctx context.Context, o Options, rep ui.Reporter) (Summary, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout,
		fmt.Errorf("not ready within %s: give --timeout more, or run it again: it goes on where it stopped", o.Timeout))
	defer cancel()

	p := &platform{opts: o, rep: rep}
	defer p.close()
	steps := []step{
		{"engine", "Container engine", p.engine},
		{"supply", "Image store", p.supply},
		{"cluster", "Kubernetes cluster", p.cluster},
		{"network", "Pod network and volumes", p.network},
		{"secrets", "CA, keys and secrets", p.secrets},
		{"tenants", "Tenants", p.readTenants},
		{"foundation", "Registry, Gitea and front door", p.foundation},
		{"gitea", "Organisation, identities and protection", p.gitea},
		{"flux", "Flux", p.flux},
		{"platform", "Platform repository", p.platformRepository},
		{"seed", "Base image in the foundry's registry", p.seed},
		{"ready", "Everything that Flux installs", p.ready},
	}
	if err := runAll(ctx, steps, rep); err != nil {
		return Summary{}, err
	}
	return p.summary(time.Since(began)), nil
}

// runAll runs the steps in order and stops at the first that fails.
func runAll(ctx context.Context, steps []step, rep ui.Reporter) error {
	for _, s := range steps {
		task := rep.Start(s.id, s.title)
		summary, err := s.run(ctx, task)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
				err = fmt.Errorf("%w (%w)", err, cause)
			}
			task.Fail(err)
			return fmt.Errorf("%s: %w", s.id, err)
		}
		task.Done("%s", summary)
	}
	return nil
}
