package main

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/druppie/druppie-up/tracedb/collect"
	"github.com/druppie/druppie-up/tracedb/log"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// part is one of the service's parts, for /readyz.
type part struct {
	Name   string `json:"name"`
	On     bool   `json:"on"`
	Detail string `json:"detail,omitempty"`
	// Collectors tell how they are doing.
	LastSuccess *time.Time `json:"last_success,omitempty"`
	LastError   string     `json:"last_error,omitempty"`
	Recorded    int64      `json:"recorded,omitempty"`
}

// health answers on the plain port: nothing there says anything about anybody. It is ready when the
// service answers questions; a part that is off, or a collector in trouble, is told but stops nothing.
type health struct {
	ready      atomic.Bool
	off        []part
	collectors []func() collect.Status
	registry   *prometheus.Registry
}

func newHealth(l *log.Log) *health {
	h := &health{registry: prometheus.NewRegistry()}
	h.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tracedb_log_size", Help: "Records in the log."}, func() float64 { return float64(l.Size()) }),
	)
	return h
}

// watch adds a collector's status to /readyz and to the metrics.
func (h *health) watch(status func() collect.Status) {
	h.collectors = append(h.collectors, status)
	name := status().Name
	gauge := func(metric, help string, value func(collect.Status) float64) {
		h.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tracedb_collector_" + metric, Help: help, ConstLabels: prometheus.Labels{"collector": fmt.Sprintf("%s-%d", name, len(h.collectors))},
		}, func() float64 { return value(status()) }))
	}
	gauge("last_success_seconds", "When the collector last knew that it had missed nothing (Unix time).", func(s collect.Status) float64 {
		if s.LastSuccess.IsZero() {
			return 0
		}
		return float64(s.LastSuccess.Unix())
	})
	gauge("recorded", "Records that were new.", func(s collect.Status) float64 { return float64(s.Recorded) })
	gauge("refused", "Records that the log will never take.", func(s collect.Status) float64 { return float64(s.Refused) })
	gauge("failing", "1 if something goes wrong now.", func(s collect.Status) float64 {
		if s.LastError != "" {
			return 1
		}
		return 0
	})
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
		wire.JSON(w, status, struct {
			Ready bool   `json:"ready"`
			Parts []part `json:"parts"`
		}{ready, h.parts()})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}

func (h *health) parts() []part {
	parts := append([]part{}, h.off...)
	for _, status := range h.collectors {
		s := status()
		p := part{Name: s.Name, On: true, LastError: s.LastError, Recorded: s.Recorded}
		if !s.LastSuccess.IsZero() {
			p.LastSuccess = &s.LastSuccess
		}
		parts = append(parts, p)
	}
	return parts
}
