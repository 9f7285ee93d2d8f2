package pages

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/druppie/druppie-up/tracedb"
)

// maxBody is how much of a payload a page shows.
const maxBody = 256 << 10

// body is a payload for people.
type body struct {
	Text      string   // indented JSON
	Statement string   // what an attestation's envelope holds, decoded
	Signers   []string // names of keys, as the envelope has them
	Cut       bool
	Disposed  bool
}

// newBody makes a payload readable, and no longer than limit.
func newBody(kind tracedb.Kind, payload json.RawMessage, limit int) body {
	var b body
	if info, ok := kind.Info(); ok && len(info.Predicate) > 0 {
		var env struct {
			Payload    string `json:"payload"`
			Signatures []struct {
				KeyID string `json:"keyid"`
			} `json:"signatures"`
		}
		if err := json.Unmarshal(payload, &env); err == nil {
			if raw, err := base64.StdEncoding.DecodeString(env.Payload); err == nil {
				b.Statement = b.cut(indent(raw), limit)
			}
			for _, sig := range env.Signatures {
				if sig.KeyID != "" {
					b.Signers = append(b.Signers, sig.KeyID)
				}
			}
		}
	}
	b.Text = b.cut(indent(payload), limit)
	return b
}

func (b *body) cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	b.Cut = true
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}

func indent(raw []byte) string {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return string(bytes.ToValidUTF8(raw, []byte("\uFFFD")))
	}
	return out.String()
}

type recordData struct {
	line
	Step           string
	Controls       []string
	Until          time.Time // when the payload's term ends; zero: never
	Body           body
	Leaf, LeafHash string
}

// entryAt reads the record that a number names.
func (s *Site) entryAt(r *http.Request, number string) (tracedb.Entry, error) {
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil || seq < 0 {
		return tracedb.Entry{}, tracedb.ErrInvalid.Says("a record's number is a whole number from 0").At("seq")
	}
	entries, err := s.o.Reader.Entries(r.Context(), seq)
	if err != nil {
		return tracedb.Entry{}, fmt.Errorf("read record %d: %w", seq, err)
	}
	if len(entries) != 1 {
		return tracedb.Entry{}, tracedb.ErrNotFound
	}
	return entries[0], nil
}

// payloadOf reads a record's payload; nil if it was disposed of.
func (s *Site) payloadOf(r *http.Request, seq int64) (json.RawMessage, error) {
	payload, err := s.o.Reader.Payload(r.Context(), seq)
	if errors.Is(err, tracedb.ErrDisposed) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read payload of record %d: %w", seq, err)
	}
	return payload, nil
}

func (s *Site) record(w http.ResponseWriter, r *http.Request) error {
	e, err := s.entryAt(r, r.PathValue("seq"))
	if err != nil {
		return err
	}
	if err := s.recordRead(r, "payload", strconv.FormatInt(e.Seq, 10)); err != nil {
		return err
	}
	payload, err := s.payloadOf(r, e.Seq)
	if err != nil {
		return err
	}
	d := recordData{line: newLine(e, payload), Leaf: string(e.Leaf()), LeafHash: hexOf(e.Hash()), Body: body{Disposed: payload == nil}}
	if payload != nil {
		d.Body = newBody(e.Kind, payload, maxBody)
	}
	if info, ok := e.Kind.Info(); ok {
		d.Step, d.Controls = info.Step, info.Controls
		if info.Term > 0 {
			d.Until = e.Time.Add(info.Term)
		}
	}
	number, err := s.words(r).T("record.number", e.Seq)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "record", view{
		Title: s.words(r).pick(d.TitleNL, d.Title), Data: d, Crumbs: []choice{{Key: "nav.search", Href: "/search"}, {Text: number}},
	})
}
