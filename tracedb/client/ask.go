package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// Record adds records to the log, all or none, at most 500 and 16 MiB at once. When it returns without
// an error they are durable and in the tree. Each must have an id of its own, by which a second
// delivery is known; it is tried again where the answer was lost.
func (c *Client) Record(ctx context.Context, drafts []tracedb.Draft) ([]tracedb.Receipt, error) {
	for i, d := range drafts {
		if d.ID == "" {
			return nil, tracedb.ErrInvalid.Says("without an id a second delivery would make a second record").At("records[%d].id", i)
		}
	}
	var answer struct {
		Receipts []tracedb.Receipt `json:"receipts"`
	}
	// Records may wait for others, and the service gives them twice as long as a query.
	err := c.read(ctx, call{method: http.MethodPost, path: "/v1/records", body: map[string]any{"records": drafts}, timeout: 2 * c.o.Timeout}, &answer)
	if err != nil {
		return nil, err
	}
	if len(answer.Receipts) != len(drafts) {
		return nil, fmt.Errorf("%d receipts came for %d records", len(answer.Receipts), len(drafts))
	}
	return answer.Receipts, nil
}

// Why answers why a subject runs, or was refused. A subject is what why.Subject reads: a digest, a
// commit, namespace/pod, an algorithm's id, owner/repository, an address in Gitea, or type:value.
func (c *Client) Why(ctx context.Context, subject string, opts why.Options) (*why.Chain, error) {
	ref, err := why.Subject(subject)
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	if opts.Proofs {
		q.Set("proofs", "true")
	}
	chain, err := get[why.Chain](ctx, c, "/v1/why/"+why.Path(ref), q)
	if err != nil {
		return nil, err
	}
	return &chain, nil
}

// Export writes the archive of a subject's chain, as export.Verify checks it.
func (c *Client) Export(ctx context.Context, subject string, w io.Writer) error {
	ref, err := why.Subject(subject)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/export/" + why.Path(ref), long: true})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("the archive broke off: %w", err)
	}
	return nil
}

// Payload is a record with its payload; Disposed says that its term was over.
func (c *Client) Payload(ctx context.Context, seq int64) (tracedb.Record, error) {
	return get[tracedb.Record](ctx, c, "/v1/records/"+strconv.FormatInt(seq, 10), url.Values{"payload": {"true"}})
}

// Search finds records, newest first. The page's Next is the Before of the next one.
func (c *Client) Search(ctx context.Context, query tracedb.Query) (tracedb.Page, error) {
	return get[tracedb.Page](ctx, c, "/v1/records", wire.Query(query))
}

// get reads what a path answers.
func get[T any](ctx context.Context, c *Client, path string, q url.Values) (T, error) {
	var v T
	err := c.read(ctx, call{method: http.MethodGet, path: path, query: q}, &v)
	return v, err
}

// Register lists the AI register.
func (c *Client) Register(ctx context.Context) ([]catalog.Algorithm, error) {
	answer, err := get[struct {
		Algorithms []catalog.Algorithm `json:"algorithms"`
	}](ctx, c, "/v1/register", nil)
	return answer.Algorithms, err
}

// Algorithm is the newest version of an entry.
func (c *Client) Algorithm(ctx context.Context, id string) (catalog.Algorithm, error) {
	return get[catalog.Algorithm](ctx, c, "/v1/register/"+url.PathEscape(id), nil)
}

// Versions lists every version of an entry, oldest first.
func (c *Client) Versions(ctx context.Context, id string) ([]catalog.Version, error) {
	answer, err := get[struct {
		Versions []catalog.Version `json:"versions"`
	}](ctx, c, "/v1/register/"+url.PathEscape(id)+"/versions", nil)
	return answer.Versions, err
}

// Delivery is an entry in the shape of the Algoritmeregister's delivery API.
func (c *Client) Delivery(ctx context.Context, id string) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "/v1/register/"+url.PathEscape(id)+"/delivery", nil)
}

// Admission asks whether something may run. An error never allows it.
func (c *Client) Admission(ctx context.Context, request catalog.Request) (catalog.Decision, error) {
	var d catalog.Decision
	if err := c.read(ctx, call{method: http.MethodPost, path: "/v1/admission", body: request}, &d); err != nil {
		return catalog.Decision{}, err
	}
	return d, nil
}

// Checkpoint is the log's newest signed checkpoint, which is for the caller to verify.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	resp, err := c.do(ctx, call{method: http.MethodGet, path: "/checkpoint"})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return nil, &unreachable{err}
	}
	return raw, nil
}
