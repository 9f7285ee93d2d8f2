package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/why"
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

// Entry is a record without its payload.
func (c *Client) Entry(ctx context.Context, seq int64) (tracedb.Entry, error) {
	r, err := c.record(ctx, seq, nil)
	return r.Entry, err
}

// Payload is a record with its payload; Disposed says that its term was over.
func (c *Client) Payload(ctx context.Context, seq int64) (tracedb.Record, error) {
	return c.record(ctx, seq, url.Values{"payload": {"true"}})
}

func (c *Client) record(ctx context.Context, seq int64, q url.Values) (tracedb.Record, error) {
	return get[tracedb.Record](ctx, c, "/v1/records/"+strconv.FormatInt(seq, 10), q)
}

// Search finds records, newest first. The page's Next is the Before of the next one.
func (c *Client) Search(ctx context.Context, query tracedb.Query) (tracedb.Page, error) {
	q := url.Values{}
	for name, t := range map[string]time.Time{"from": query.From, "until": query.Until} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	for _, k := range query.Kinds {
		q.Add("kind", string(k))
	}
	for _, r := range query.Refs {
		q.Add("ref", r.String())
	}
	for name, text := range map[string]string{"actor": query.Actor, "outcome": string(query.Outcome)} {
		if text != "" {
			q.Set(name, text)
		}
	}
	if query.Before > 0 {
		q.Set("before", strconv.FormatInt(query.Before, 10))
	}
	if query.Limit > 0 {
		q.Set("limit", strconv.Itoa(query.Limit))
	}
	return get[tracedb.Page](ctx, c, "/v1/records", q)
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

// Keys are the public keys that the service says are its own. A caller that checks the service takes the
// verifier from elsewhere.
type Keys struct {
	Origin   string        `json:"origin"`
	Verifier string        `json:"verifier"`
	Keyring  []tracedb.Key `json:"keyring"`
}

// Keys asks for the log's verifier key and the keyring.
func (c *Client) Keys(ctx context.Context) (Keys, error) { return get[Keys](ctx, c, "/v1/keys", nil) }
