package flux

import (
	"context"
	"time"

	"github.com/druppie/druppie-up/internal/ui"
)

// WaitQuickly looks a hundred times a second.
func WaitQuickly(ctx context.Context, c Cluster, revision string) error {
	return waitAll(ctx, c, revision, ui.Discard().Start("", ""), 10*time.Millisecond)
}
