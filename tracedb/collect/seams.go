package collect

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"code.gitea.io/sdk/gitea"
	"github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/druppie/druppie-up/tracedb"
)

// GiteaHook takes Gitea's webhooks.
type GiteaHook struct {
	Repositories Repositories
	Forge        *Forge         // nil: reviews are recorded from what the webhook says alone
	Log          tracedb.Reader // nil: the sink alone says what is there
	Logger       *slog.Logger
}

// Gitea takes Gitea's webhooks, signed with secret.
func Gitea(secret []byte, sink Sink) *GiteaHook { return &GiteaHook{} }

func (h *GiteaHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer(w, tracedb.ErrUnavailable)
}

// Status is how it goes.
func (h *GiteaHook) Status() Status { return Status{} }

// FluxHook takes what Flux's notification-controller forwards.
type FluxHook struct {
	Log    tracedb.Reader
	Logger *slog.Logger
}

// Flux takes the events of Flux, signed with token.
func Flux(token []byte, sink Sink) *FluxHook { return &FluxHook{} }

func (h *FluxHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer(w, tracedb.ErrUnavailable)
}

// Status is how it goes.
func (h *FluxHook) Status() Status { return Status{} }

// Forge looks through Gitea for what no webhook told.
type Forge struct {
	Client       *gitea.Client
	Repositories Repositories
	Interval     time.Duration // between looks; 0: five minutes
	Sink         Sink
	Log          tracedb.Reader
	Logger       *slog.Logger
}

// Run looks until ctx ends.
func (f *Forge) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Status is how it goes.
func (f *Forge) Status() Status { return Status{} }

// Kustomizations watches the status of Flux's Kustomizations, for events that didn't come.
type Kustomizations struct {
	Client    dynamic.Interface
	Namespace string
	Sink      Sink
	Log       tracedb.Reader
	Logger    *slog.Logger
}

// Run watches until ctx ends.
func (k *Kustomizations) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Status is how it goes.
func (k *Kustomizations) Status() Status { return Status{} }

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
