package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// maxKey bounds the Idempotency-Key header.
const maxKey = 128

// receipts answers POST /v1/records.
type receipts struct {
	Receipts []tracedb.Receipt `json:"receipts"`
}

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
	wire.JSON(w, status, receipts{got})
	return nil
}

// record is GET /v1/records/{seq}.
func (s *service) record(w http.ResponseWriter, r *http.Request) error {
	seq, err := place(r.PathValue("seq"))
	if err != nil {
		return tracedb.AsError(err).At("seq")
	}
	q, err := params(r, "payload")
	if err != nil {
		return err
	}
	payload, err := boolean(q, "payload")
	if err != nil {
		return err
	}
	what := "record"
	if payload {
		what = "payload"
	}
	if err := s.noted(r, what, strconv.FormatInt(seq, 10)); err != nil {
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
	wire.JSON(w, http.StatusOK, rec)
	return nil
}

// search is GET /v1/records.
func (s *service) search(w http.ResponseWriter, r *http.Request) error {
	query, err := readQuery(r)
	if err != nil {
		return err
	}
	if err := s.noted(r, "search", asked(query)); err != nil {
		return err
	}
	page, err := s.Log.Search(r.Context(), query)
	if err != nil {
		return err
	}
	if page.Entries == nil {
		page.Entries = []tracedb.Entry{}
	}
	wire.JSON(w, http.StatusOK, page)
	return nil
}

// asked is a search as it is recorded: whatever counts, once and in one order, however it was written.
func asked(q tracedb.Query) string {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	for name, t := range map[string]time.Time{"from": q.From, "until": q.Until} {
		if !t.IsZero() {
			set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	set("kind", joined(q.Kinds))
	set("actor", q.Actor)
	set("outcome", string(q.Outcome))
	for _, ref := range q.Refs {
		v.Add("ref", ref.String())
	}
	for name, n := range map[string]int64{"before": q.Before, "limit": int64(q.Limit)} {
		if n > 0 {
			set(name, strconv.FormatInt(n, 10))
		}
	}
	return v.Encode()
}

func joined(kinds []tracedb.Kind) string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = string(k)
	}
	return strings.Join(out, ",")
}

func readQuery(r *http.Request) (tracedb.Query, error) {
	var query tracedb.Query
	q, err := params(r, "from", "until", "kind", "actor", "outcome", "repository", "service", "ref", "before", "limit")
	if err != nil {
		return query, err
	}
	for name, t := range map[string]*time.Time{"from": &query.From, "until": &query.Until} {
		text, err := one(q, name)
		if err != nil {
			return query, err
		}
		if text == "" {
			continue
		}
		if *t, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return query, tracedb.ErrInvalid.At("%s", name).Says("is no time as RFC 3339 writes it: 2026-01-31T12:00:00Z")
		}
	}
	if query.Kinds, err = kinds(q["kind"]); err != nil {
		return query, err
	}
	if query.Actor, err = one(q, "actor"); err != nil {
		return query, err
	}
	outcome, err := one(q, "outcome")
	if err != nil {
		return query, err
	}
	if query.Outcome = tracedb.Outcome(outcome); outcome != "" && !slices.ContainsFunc(tracedb.Kinds(), func(k tracedb.KindInfo) bool { return slices.Contains(k.Outcomes, query.Outcome) }) {
		return query, tracedb.ErrInvalid.At("outcome").Says("there is no such outcome")
	}
	if query.Refs, err = refs(q); err != nil {
		return query, err
	}
	before, err := number(q, "before", 1, 1<<62)
	if err != nil {
		return query, err
	}
	limit, err := number(q, "limit", 1, tracedb.MaxPage)
	if err != nil {
		return query, err
	}
	query.Before, query.Limit = before, int(limit)
	return query, query.Check()
}

// kinds reads kinds, each a parameter of its own or several with commas; they come sorted, once each.
func kinds(values []string) ([]tracedb.Kind, error) {
	var out []tracedb.Kind
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			k := tracedb.Kind(name)
			if _, ok := k.Info(); !ok {
				return nil, tracedb.ErrInvalid.At("kind").Says("there is no such kind of record")
			}
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// refs reads ref=type:value, and repository= and service=, which are both words for a repository; they
// come sorted, once each.
func refs(q map[string][]string) ([]tracedb.Ref, error) {
	var out []tracedb.Ref
	for _, v := range q["ref"] {
		kind, value, ok := strings.Cut(v, ":")
		if !ok {
			return nil, tracedb.ErrInvalid.At("ref").Says("is not type:value")
		}
		out = append(out, tracedb.Ref{Type: tracedb.RefType(kind), Value: value})
	}
	for _, name := range []string{"repository", "service"} {
		for _, v := range q[name] {
			out = append(out, tracedb.Ref{Type: tracedb.RefRepository, Value: v})
		}
	}
	for _, ref := range out {
		if err := ref.Check(); err != nil {
			return nil, tracedb.ErrInvalid.At("ref").Says("%v", err)
		}
	}
	if out = tracedb.SortRefs(out); len(out) > tracedb.MaxQueryRefs {
		return nil, tracedb.ErrInvalid.At("ref").Says("are more than %d", tracedb.MaxQueryRefs)
	}
	return out, nil
}

func number(q map[string][]string, name string, least, most int64) (int64, error) {
	text, err := one(q, name)
	if err != nil || text == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most || text[0] == '+' {
		return 0, tracedb.ErrInvalid.At("%s", name).Says("must be a number from %d to %d", least, most)
	}
	return n, nil
}

func boolean(q map[string][]string, name string) (bool, error) {
	switch text, err := one(q, name); {
	case err != nil:
		return false, err
	case text == "" && q[name] == nil || text == "false":
		return false, nil
	case text == "" || text == "true":
		return true, nil
	}
	return false, tracedb.ErrInvalid.At("%s", name).Says("must be true or false")
}

// place is a record's place in the log.
func place(text string) (int64, error) {
	ref := tracedb.Ref{Type: tracedb.RefRecord, Value: text}
	if err := ref.Check(); err != nil {
		return 0, tracedb.ErrInvalid.Says("%v", err)
	}
	return strconv.ParseInt(text, 10, 64)
}
