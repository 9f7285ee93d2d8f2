package main

import (
	"context"
	"fmt"
	"net/http"

	"code.gitea.io/sdk/gitea"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/client-go/dynamic"

	"github.com/druppie/druppie-up/internal/giteaclient"
	"github.com/druppie/druppie-up/tracedb/auth"
	"github.com/druppie/druppie-up/tracedb/collect"
	"github.com/druppie/druppie-up/tracedb/publish"
)

// collectors wires what takes events and what polls and watches, and gives the handlers of webhooks; nil for those that are off.
func (w *wiring) collectors() (giteaHook, fluxHook http.Handler, err error) {
	repositories := collect.Repositories{Owner: w.config.Gitea.Owner, Checkpoint: w.config.Gitea.CheckpointRepository}
	poller, err := w.poller(repositories)
	if err != nil {
		return nil, nil, err
	}
	options := w.collectOptions()
	secret, err := w.webhookSecret("gitea webhooks", "giteaWebhookSecretFile", w.config.GiteaWebhookSecretFile)
	if err != nil {
		return nil, nil, err
	}
	if secret != nil {
		h := collect.Gitea(secret, repositories, poller, options)
		w.server.health.watch(h.Status)
		giteaHook = h
	}
	kustomizations, err := w.watchers()
	if err != nil {
		return nil, nil, err
	}
	if secret, err = w.webhookSecret("flux events", "fluxHMACFile", w.config.FluxHMACFile); err != nil {
		return nil, nil, err
	}
	if secret != nil {
		h := collect.Flux(secret, kustomizations, options)
		w.server.health.watch(h.Status)
		fluxHook = h
	}
	return giteaHook, fluxHook, nil
}

// webhookSecret is the secret that events are signed with; nil if they are off.
func (w *wiring) webhookSecret(part, field, file string) ([]byte, error) {
	secret, err := w.secret(part, field, file)
	if err != nil || secret == nil {
		return nil, err
	}
	value, err := secret.Value()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return []byte(value), nil
}

func (w *wiring) collectOptions() collect.Options {
	return collect.Options{Sink: w.ingester.Append, Log: w.server.log, Logger: w.logger}
}

// collector runs a collector and shows its status.
func (w *wiring) collector(name string, c interface {
	Run(context.Context) error
	Status() collect.Status
}) {
	w.server.health.watch(c.Status)
	w.loop(name, c.Run)
}

// poller polls Gitea for what no webhook reported.
func (w *wiring) poller(repositories collect.Repositories) (*collect.GiteaPoller, error) {
	const name = "gitea"
	client, _, err := w.gitea(name)
	if err != nil || client == nil {
		return nil, err
	}
	f := collect.NewGiteaPoller(client, repositories, w.collectOptions())
	w.collector(name, f)
	return f, nil
}

// publisher commits checkpoints where the service's operator can't rewrite them.
func (w *wiring) publisher(verifierKey string) error {
	const name = "checkpoints"
	if w.config.Gitea.CheckpointRepository == "" {
		w.off(name, "the configuration has no gitea.checkpointRepository")
		return nil
	}
	client, token, err := w.gitea(name)
	if err != nil || client == nil {
		return err
	}
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return fmt.Errorf("signingKey: %w", err)
	}
	hc, err := w.http()
	if err != nil {
		return err
	}
	p := &publish.Publisher{
		Log: w.server.log, Verifier: verifier, URL: w.config.Gitea.URL, HTTP: hc, Token: token.Value,
		Repository: w.config.Gitea.CheckpointRepository, Key: verifierKey, Logger: w.logger,
	}
	w.server.health.publishes(p.Status)
	w.loop(name, p.Run)
	w.server.last = p.Once
	return nil
}

// gitea is a client of Gitea with the service's own token, which is given too; nil if it is off.
func (w *wiring) gitea(part string) (*gitea.Client, *auth.File, error) {
	if w.config.Gitea.URL == "" {
		w.off(part, "the configuration has no gitea.url")
		return nil, nil, nil
	}
	token, err := w.secret(part, "gitea.tokenFile", w.config.Gitea.TokenFile)
	if err != nil || token == nil {
		return nil, nil, err
	}
	if _, err := token.Value(); err != nil {
		return nil, nil, fmt.Errorf("gitea.tokenFile: %w", err)
	}
	hc, err := w.http()
	if err != nil {
		return nil, nil, err
	}
	client, err := giteaclient.New(context.Background(), giteaclient.Options{URL: w.config.Gitea.URL, HTTP: hc, Token: token.Value})
	if err != nil {
		return nil, nil, fmt.Errorf("gitea.url: %w", err)
	}
	return client.Client, token, nil
}

// watchers wires what watches the cluster, and gives what knows the Kustomizations; nil if it is off.
func (w *wiring) watchers() (*collect.Kustomizations, error) {
	if w.kube == nil {
		for _, name := range []string{"flux", "kyverno", "pods", "tekton"} {
			w.off(name, "there is no cluster: no kubeconfig is named, and this is no pod")
		}
		return nil, nil
	}
	client, err := dynamic.NewForConfig(w.kube)
	if err != nil {
		return nil, fmt.Errorf("talk to the cluster: %w", err)
	}
	options := w.collectOptions()
	w.collector("kyverno", collect.NewKyverno(client, options))
	w.collector("pods", collect.NewPods(client, w.config.Tenants.Selector, options))
	if w.config.Tekton.Namespace == "" {
		w.off("tekton", "the configuration has no tekton.namespace")
	} else {
		w.collector("tekton", collect.NewTekton(client, w.config.Tekton.Namespace, w.config.Tekton.Pipelines, options))
	}
	if w.config.Flux.Namespace == "" {
		w.off("flux", "the configuration has no flux.namespace")
		return nil, nil
	}
	k := collect.NewKustomizations(client, w.config.Flux.Namespace, options)
	w.collector("flux", k)
	return k, nil
}

func (w *wiring) loop(name string, run func(context.Context) error) {
	w.server.loops = append(w.server.loops, loop{name, run})
}
