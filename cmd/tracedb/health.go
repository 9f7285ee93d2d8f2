package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/druppie/druppie-up/tracedb/admission"
	"github.com/druppie/druppie-up/tracedb/collect"
	"github.com/druppie/druppie-up/tracedb/ingest"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/publish"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// part is one of the service's parts, for /readyz.
type part struct {
	Name   string `json:"name"`
	On     bool   `json:"on"`
	Detail string `json:"detail,omitempty"`
	// How a collector, or what publishes checkpoints, is doing.
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	Recorded    int64     `json:"recorded,omitempty"`
}

// health answers on the plain port: nothing there says anything about anybody. It is ready when the
// service answers questions; a part that is off, or a collector in trouble, is listed but stops nothing.
type health struct {
	ready      atomic.Bool
	off        []part
	collectors []func() collect.Status
	publisher  func() publish.Status // nil: nothing is published
	registry   *prometheus.Registry
}

func newHealth(l *log.Log) *health {
	h := &health{registry: prometheus.NewRegistry()}
	h.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h.gauge("log_size", "Records in the log.", nil, func() float64 { return float64(l.Size()) })
	h.gauge("log_ahead_seconds", "How far the log's time is ahead of the clock: until that has caught up it stands still.", nil, func() float64 { return l.Ahead().Seconds() })
	return h
}

// gauge adds a metric that is computed when it is scraped.
func (h *health) gauge(name, help string, labels prometheus.Labels, value func() float64) {
	h.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tracedb_" + name, Help: help, ConstLabels: labels}, value))
}

// records adds what is counted of records that were refused, and of decisions.
func (h *health) records(in *ingest.Ingester, decides *admission.Controller) {
	h.gauge("ingest_refused", "Records that were refused since the start.", nil, func() float64 { return float64(in.Stats().Refused) })
	h.gauge("ingest_refusals_unrecorded", "Refusals that weren't written down.", nil, func() float64 { return float64(in.Stats().RefusalsUnrecorded) })
	h.gauge("admission_decisions_waiting", "Admission decisions that aren't in the log yet.", nil, func() float64 { return float64(decides.Stats().Waiting) })
	h.gauge("admission_decisions_dropped", "Admission decisions that never will be.", nil, func() float64 { return float64(decides.Stats().Dropped) })
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// watch adds a collector's status to /readyz and to the metrics.
func (h *health) watch(status func() collect.Status) {
	h.collectors = append(h.collectors, status)
	name := status().Name
	// Gitea has two: for events, and what polls.
	labels := prometheus.Labels{"collector": fmt.Sprintf("%s-%d", name, len(h.collectors))}
	h.gauge("collector_last_success_seconds", "When the collector last knew that it had missed nothing (Unix time).", labels, func() float64 { return unix(status().LastSuccess) })
	h.gauge("collector_recorded", "Records that were new.", labels, func() float64 { return float64(status().Recorded) })
	h.gauge("collector_refused", "Records that the log will never take.", labels, func() float64 { return float64(status().Refused) })
	h.gauge("collector_failing", "1 if something goes wrong now.", labels, func() float64 { return bit(status().LastError != "") })
}

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		wire.JSON(w, http.StatusOK, map[string]bool{"alive": true})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, status := h.ready.Load(), http.StatusOK
		if !ready {
			status = http.StatusServiceUnavailable
		}
		wire.JSON(w, status, map[string]any{"ready": ready, "parts": h.parts()})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}

// publishes adds how publishing checkpoints goes. A log that doesn't continue what was published is the
// one thing here that somebody must look at at once.
func (h *health) publishes(status func() publish.Status) {
	h.publisher = status
	h.gauge("checkpoint_size", "Records of the checkpoint that was published last.", nil, func() float64 { return float64(status().Size) })
	h.gauge("checkpoint_rewritten", "1 if the log doesn't continue the checkpoint that was published: one of the two was changed.", nil, func() float64 {
		return bit(status().Rewritten)
	})
	h.gauge("checkpoint_lost", "How often since the start the repository held less than what had been published.", nil, func() float64 { return float64(status().Lost) })
}

func (h *health) parts() []part {
	parts := append([]part{}, h.off...)
	if h.publisher != nil {
		s := h.publisher()
		parts = append(parts, part{Name: "checkpoints", On: true, LastSuccess: s.LastSuccess, LastError: s.LastError, Recorded: s.Published})
	}
	for _, status := range h.collectors {
		s := status()
		parts = append(parts, part{Name: s.Name, On: true, LastSuccess: s.LastSuccess, LastError: s.LastError, Recorded: s.Recorded})
	}
	return parts
}
