package collect

import (
	"context"
	"log/slog"

	"github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	"k8s.io/client-go/kubernetes"

	"github.com/druppie/druppie-up/tracedb"
)

// Kyverno watches Events for refusals.
type Kyverno struct {
	Client kubernetes.Interface
	Sink   Sink
	Log    tracedb.Reader
	Logger *slog.Logger
}

// Run watches until ctx ends.
func (k *Kyverno) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Status is how it goes.
func (k *Kyverno) Status() Status { return Status{} }

// Tekton watches the runs of pipelines.
type Tekton struct {
	Client    versioned.Interface
	Namespace string
	Pipelines []string // nil: release
	Sink      Sink
	Log       tracedb.Reader
	Logger    *slog.Logger
}

// Run watches until ctx ends.
func (t *Tekton) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Status is how it goes.
func (t *Tekton) Status() Status { return Status{} }

// Pods watches what runs in tenants.
type Pods struct {
	Client   kubernetes.Interface
	Selector string // of tenants' namespaces; empty: druppie.io/tenant=true
	Sink     Sink
	Log      tracedb.Reader
	Logger   *slog.Logger
}

// Run watches until ctx ends.
func (p *Pods) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Status is how it goes.
func (p *Pods) Status() Status { return Status{} }
