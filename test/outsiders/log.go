package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/internal/command"
)

// tlogTiles lets tessera's fsck read the whole log of the trace, as an auditor, for the leaves are nobody else's. The
// key comes from the cluster, and not from the log that is judged.
func tlogTiles(ctx context.Context, w *world) (_ []result, err error) {
	program, err := w.goTool(ctx, "tlog")
	if err != nil {
		return nil, err
	}
	trace, err := bootstrap.Trace(ctx, w.which)
	if err != nil {
		return nil, err
	}
	token, err := trace.Token(ctx, bootstrap.TraceAuditor)
	if err != nil {
		return nil, err
	}
	address, stop, err := plain(trace.URL, trace.Client.Transport, http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	res := result{test: "fsck"}
	if _, err := command.Output(ctx, program, "-url", "http://"+address+"/", "-key", trace.Verifier); err != nil {
		res.state, res.message = failed, err.Error()
	}
	return []result{res}, nil
}
