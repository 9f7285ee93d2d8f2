// Package supply says what fills a store of images, chooses which supply does, and waits for what another process
// or goroutine still brings. The store and the supplies are packages below it. It refuses to know clusters.
package supply

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

// Supply fills a store. Fill goes in the order of comps, leaves alone what is
// there, and goes on where an earlier one was stopped.
type Supply interface {
	Name() string
	// Available says what is missing for this supply on this machine, or nil.
	Available(ctx context.Context) error
	Fill(ctx context.Context, s *store.Store, comps []component.Component, rep ui.Reporter) error
}

// Choose takes the first supply that this machine can use, and says why.
func Choose(ctx context.Context, candidates ...Supply) (chosen Supply, why string, err error) {
	var reasons []string
	var errs []error
	for _, c := range candidates {
		err := c.Available(ctx)
		if ctx.Err() != nil {
			return nil, "", context.Cause(ctx)
		}
		if err == nil {
			if reasons == nil {
				return c, "it can be reached", nil
			}
			return c, strings.Join(reasons, "; "), nil
		}
		reasons = append(reasons, fmt.Sprintf("%s can't be used (%v)", c.Name(), err))
		err = fmt.Errorf("%s: %w", c.Name(), err)
		errs = append(errs, err)
	}
	return nil, "", ui.WithHint(fmt.Errorf("no supply can be used: %w", errors.Join(errs...)),
		"connect this machine to a container registry or a Go module proxy (`druppie-up doctor` says what each needs)")
}
