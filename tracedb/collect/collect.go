// Package collect turns what the platform's components report (Gitea, Flux, Kyverno, Tekton, Kubernetes) into
// records, each under an id that follows from what happened, so that a second delivery or a restart never
// makes a second record. It owns the reading of foreign payloads, and the loops that make up for events that
// were lost; it refuses to interpret what is reported, and to believe a webhook that isn't signed.
package collect

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// Sink takes records into the log: ingest.Ingester's Append. It answers a record that is there already with
// a receipt that says so.
type Sink func(ctx context.Context, who tracedb.Identity, drafts []tracedb.Draft) ([]tracedb.Receipt, error)

// Options are what every collector works with.
type Options struct {
	Sink   Sink
	Log    tracedb.Reader // searched for what is recorded already; nil: the sink alone knows
	Logger *slog.Logger   // nil: silent
}

// Status is how a collector is doing, for /readyz and metrics.
type Status struct {
	Name        string    // as `tracedb` names its loops: gitea, kyverno, pods and others
	LastSuccess time.Time // when it last knew that it had missed nothing; zero: not yet
	LastError   string    // what goes wrong now; empty when all is well
	LastErrorAt time.Time // of the last failure, also when it has passed
	Recorded    int64     // records that were new
	Duplicates  int64     // records that the log had
	Refused     int64     // records that the log will never take; the service's own output says why
}

// health is a Status that several loops keep. Each part of a collector has a name, and all must be ok.
type health struct {
	mu     sync.Mutex
	status Status
	parts  map[string]part
}

type part struct {
	success time.Time
	err     string
	// errOnly parts have no successes of their own to be counted from.
	errOnly bool
}

// ok notes that a part missed nothing until now.
func (h *health) ok(name string, now time.Time) { h.set(name, part{success: now}) }

// failing notes that a part fails. It isn't an error that a part ends because its context does.
func (h *health) failing(name string, now time.Time, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	h.mu.Lock()
	success := h.parts[name].success
	h.status.LastErrorAt = now
	h.mu.Unlock()
	h.set(name, part{success: success, err: err.Error()})
}

// blocked notes that the log takes nothing; drop ends it.
func (h *health) blocked(now time.Time, err error) {
	h.mu.Lock()
	h.status.LastErrorAt = now
	h.mu.Unlock()
	h.set("log", part{err: err.Error(), errOnly: true})
}

// drop forgets a part that is no more, such as a namespace.
func (h *health) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.parts, name)
}

func (h *health) set(name string, p part) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts == nil {
		h.parts = map[string]part{}
	}
	h.parts[name] = p
}

func (h *health) count(recorded, duplicates, refused int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Recorded += int64(recorded)
	h.status.Duplicates += int64(duplicates)
	h.status.Refused += int64(refused)
}

// read gives the status of all parts together: as old as the oldest success, and any failure.
func (h *health) read(name string) Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status
	s.Name = name
	first, failing := true, ""
	for part, p := range h.parts {
		if !p.errOnly && (first || p.success.Before(s.LastSuccess)) {
			s.LastSuccess, first = p.success, false
		}
		// The first by name, so that the answer doesn't jump about.
		if p.err != "" && (failing == "" || part < failing) {
			failing, s.LastError = part, part+": "+p.err
		}
	}
	return s
}

// permanent says whether the log will never take a record, so that trying again is no use. What a wrong
// configuration refuses (401, 403) is not lost that way: it waits until somebody mends it.
func permanent(err error) bool {
	var e *tracedb.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}
