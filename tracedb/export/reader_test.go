package export_test

import (
	"context"
	"encoding/json"

	"github.com/druppie/druppie-up/tracedb"
)

// without is a log whose payload at gone was disposed of.
type without struct {
	tracedb.Reader
	gone int64
}

func (w without) Payload(ctx context.Context, seq int64) (json.RawMessage, error) {
	if seq == w.gone {
		return nil, tracedb.ErrDisposed
	}
	return w.Reader.Payload(ctx, seq)
}
