package main

import (
	"context"
	"net/http"

	"golang.org/x/mod/sumdb/note"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/collect"
	"github.com/druppie/druppie-up/tracedb/publish"
)

// collectors wires what takes events and what polls and watches, and gives the handler of Gitea's webhooks; nil if that
// is off.
func (w *wiring) collectors() http.Handler {
	repositories := collect.Repositories{Owner: w.config.Gitea.Owner, Checkpoint: w.config.Gitea.CheckpointRepository}
	poller := w.poller(repositories)
	w.watchers()
	secret := w.secretValue("gitea webhooks", "giteaWebhookSecretFile", w.config.GiteaWebhookSecretFile)
	if secret == nil {
		return nil
	}
	h := collect.Gitea(secret, repositories, poller, w.collectOptions())
	w.server.health.watch(h.Status)
	return h
}

func (w *wiring) collectOptions() collect.Options {
	return collect.Options{Sink: w.ingester.Append, Log: w.server.log, Logger: w.logger}
}

// poller polls Gitea for what no webhook delivered.
func (w *wiring) poller(repositories collect.Repositories) *collect.GiteaPoller {
	client, _ := w.gitea("gitea")
	if client == nil {
		return nil
	}
	p := collect.NewGiteaPoller(client, repositories, w.collectOptions())
	w.run("gitea", p)
	return p
}

// publisher commits checkpoints where the service's operator can't rewrite them.
func (w *wiring) publisher(verifierKey string) {
	const name = "checkpoints"
	if w.config.Gitea.CheckpointRepository == "" {
		w.off(name, "the configuration has no gitea.checkpointRepository")
		return
	}
	client, token := w.gitea(name)
	verifier, err := note.NewVerifier(verifierKey)
	if w.fail("signingKey", err) || client == nil {
		return
	}
	p := &publish.Publisher{
		Log: w.server.log, Verifier: verifier, URL: w.config.Gitea.URL, HTTP: w.http(), Token: token.Value,
		Repository: w.config.Gitea.CheckpointRepository, Key: verifierKey, Logger: w.logger,
	}
	w.server.health.publishes(p.Status)
	w.server.loops = append(w.server.loops, loop{name, p.Run})
	w.server.last = p.Once
}

// gitea is a client of Gitea with the service's own token, which is given too.
func (w *wiring) gitea(part string) (*giteaclient.Client, *auth.File) {
	if w.config.Gitea.URL == "" {
		w.off(part, "the configuration has no gitea.url")
		return nil, nil
	}
	token := w.secret(part, "gitea.tokenFile", w.config.Gitea.TokenFile)
	if token == nil {
		return nil, nil
	}
	if _, err := token.Value(); w.fail("gitea.tokenFile", err) {
		return nil, nil
	}
	client, err := giteaclient.New(context.Background(), giteaclient.Options{URL: w.config.Gitea.URL, HTTP: w.http(), Token: token.Value})
	if w.fail("gitea.url", err) {
		return nil, nil
	}
	return client, token
}

// watchers wires what watches the cluster.
func (w *wiring) watchers() {
	if w.kube == nil {
		for _, name := range []string{"flux", "pods", "tekton"} {
			w.off(name, noCluster)
		}
		return
	}
	options := w.collectOptions()
	w.run("pods", collect.NewPods(w.kube, w.config.Tenants.Selector, options))
	if w.config.Tekton.Namespace == "" {
		w.off("tekton", "the configuration has no tekton.namespace")
	} else {
		w.run("tekton", collect.NewTekton(w.kube, w.config.Tekton.Namespace, w.config.Tekton.Pipelines, options))
	}
	if w.config.Flux.Namespace == "" {
		w.off("flux", "the configuration has no flux.namespace")
	} else {
		w.run("flux", collect.NewKustomizations(w.kube, w.config.Flux.Namespace, options))
	}
}

// run has the server run a collector, and report its status.
func (w *wiring) run(name string, c interface {
	Status() collect.Status
	Run(ctx context.Context) error
}) {
	w.server.health.watch(c.Status)
	w.server.loops = append(w.server.loops, loop{name, c.Run})
}
