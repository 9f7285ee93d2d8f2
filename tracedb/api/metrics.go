package api

import "github.com/prometheus/client_golang/prometheus"

// metrics are the API's numbers. None of their labels holds a name, a path or a subject.
type metrics struct {
	requests  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	underWay  prometheus.Gauge
	streams   prometheus.Gauge
	decisions *prometheus.CounterVec
	records   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tracedb_http_requests_total", Help: "Requests that were answered."}, []string{"route", "method", "status"}),
		seconds:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tracedb_http_seconds", Help: "How long answers took.", Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, 1, 5, 30}}, []string{"route"}),
		underWay:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "tracedb_http_under_way", Help: "Requests that are being answered."}),
		streams:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "tracedb_streams", Help: "Readers of the live stream."}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tracedb_admission_decisions_total", Help: "Decisions about admission that were answered."}, []string{"allowed", "code"}),
		records:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tracedb_records_total", Help: "Records that writers offered and the log took or had already."}, []string{"duplicate"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.underWay, m.streams, m.decisions, m.records)
	}
	return m
}
