package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// maxKey bounds the Idempotency-Key header.
const maxKey = 128

// append is POST /v1/records: all or none of a batch.
func (s *service) append(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Records []json.RawMessage `json:"records"`
	}
	if err := wire.Read(w, r, maxBody, &body); err != nil {
		return err
	}
	// The ingester says how many it takes, and records that it refused more: one too many is enough for that.
	body.Records = body.Records[:min(len(body.Records), ingest.MaxBatch+1)]
	key := r.Header.Get("Idempotency-Key")
	if len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return tracedb.ErrInvalid.At("Idempotency-Key").Says("must be at most %d visible ASCII characters", maxKey)
	}
	drafts := make([]tracedb.Draft, len(body.Records))
	for i, raw := range body.Records {
		if err := wire.Decode(raw, &drafts[i]); err != nil {
			return tracedb.AsError(err).At("records[%d]", i)
		}
		if key != "" {
			if drafts[i].ID == "" {
				drafts[i].ID = strconv.Itoa(i)
			}
			drafts[i].ID = key + "/" + drafts[i].ID
		}
	}
	got, err := s.Ingester.Append(r.Context(), auth.From(r.Context()), drafts)
	if err != nil {
		return err
	}
	status := http.StatusOK
	for _, receipt := range got {
		s.metrics.records.WithLabelValues(strconv.FormatBool(receipt.Duplicate)).Inc()
		if !receipt.Duplicate {
			status = http.StatusCreated
		}
	}
	wire.JSON(w, status, map[string][]tracedb.Receipt{"receipts": got})
	return nil
}

// record is GET /v1/records/{seq}.
func (s *service) record(w http.ResponseWriter, r *http.Request) error {
	seq, err := parseSeq(r.PathValue("seq"))
	if err != nil {
		return tracedb.AsError(err).At("seq")
	}
	q := params(r, "payload")
	payload := q.boolean("payload")
	if q.err != nil {
		return q.err
	}
	what := "record"
	if payload {
		what = "payload"
	}
	if err := s.recordRead(r, what, strconv.FormatInt(seq, 10)); err != nil {
		return err
	}
	entries, err := s.Log.Entries(r.Context(), seq)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return tracedb.ErrNotFound.Says("the log has no record %d", seq)
	}
	rec := tracedb.Record{Entry: entries[0]}
	if payload {
		switch rec.Payload, err = s.Log.Payload(r.Context(), seq); {
		case errors.Is(err, tracedb.ErrDisposed):
			rec.Disposed = true
		case err != nil:
			return err
		}
	}
	return answer(w, rec)
}

// search is GET /v1/records.
func (s *service) search(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r)
	if err != nil {
		return err
	}
	if err := s.recordRead(r, "search", wire.Query(query).Encode()); err != nil {
		return err
	}
	page, err := s.Log.Search(r.Context(), query)
	if err != nil {
		return err
	}
	if page.Entries == nil {
		page.Entries = []tracedb.Entry{}
	}
	return answer(w, page)
}

func readQuery(r *http.Request) (tracedb.Query, error) {
	q := params(r, "from", "until", "kind", "actor", "outcome", "repository", "service", "ref", "before", "limit")
	out := tracedb.Query{
		From: q.time("from"), Until: q.time("until"), Kinds: q.kinds(), Actor: q.one("actor"), Outcome: q.outcome(), Refs: q.refs(),
		Before: q.number("before", 1, 1<<62), Limit: int(q.number("limit", 1, tracedb.MaxPage)),
	}
	if q.err != nil {
		return out, q.err
	}
	return out, out.Check()
}

// parseSeq reads a record's place in the log.
func parseSeq(text string) (int64, error) {
	ref := tracedb.Ref{Type: tracedb.RefRecord, Value: text}
	if err := ref.Check(); err != nil {
		return 0, tracedb.ErrInvalid.Says("%v", err)
	}
	return strconv.ParseInt(text, 10, 64)
}
