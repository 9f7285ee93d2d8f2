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
	l := w.server.log
	secret, err := w.secret("gitea webhooks", "giteaWebhookSecretFile", w.config.GiteaWebhookSecretFile)
	if err != nil {
		return nil, nil, err
	}
	if secret != nil {
		value, err := secret.Value()
		if err != nil {
			return nil, nil, fmt.Errorf("giteaWebhookSecretFile: %w", err)
		}
		h := collect.Gitea([]byte(value), w.ingester.Append)
		h.Repositories, h.Poller, h.Log, h.Logger = repositories, poller, l, w.logger
		w.server.health.watch(h.Status)
		giteaHook = h
	}
	kustomizations, err := w.watchers()
	if err != nil {
		return nil, nil, err
	}
	if secret, err = w.secret("flux events", "fluxHMACFile", w.config.FluxHMACFile); err != nil {
		return nil, nil, err
	}
	if secret != nil {
		value, err := secret.Value()
		if err != nil {
			return nil, nil, fmt.Errorf("fluxHMACFile: %w", err)
		}
		h := collect.Flux([]byte(value), w.ingester.Append)
		h.Kustomizations, h.Log, h.Logger = kustomizations, l, w.logger
		w.server.health.watch(h.Status)
		fluxHook = h
	}
	return giteaHook, fluxHook, nil
}

// poller polls Gitea for what no webhook told.
func (w *wiring) poller(repositories collect.Repositories) (*collect.GiteaPoller, error) {
	const name = "gitea"
	client, _, err := w.gitea(name)
	if err != nil || client == nil {
		return nil, err
	}
	f := &collect.GiteaPoller{Client: client, Repositories: repositories, Sink: w.ingester.Append, Log: w.server.log, Logger: w.logger}
	w.server.health.watch(f.Status)
	w.loop(name, f.Run)
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
	l, take := w.server.log, w.ingester.Append
	kyverno := &collect.Kyverno{Client: client, Sink: take, Log: l, Logger: w.logger}
	pods := &collect.Pods{Client: client, Selector: w.config.Tenants.Selector, Sink: take, Log: l, Logger: w.logger}
	w.server.health.watch(kyverno.Status)
	w.server.health.watch(pods.Status)
	w.loop("kyverno", kyverno.Run)
	w.loop("pods", pods.Run)
	if w.config.Tekton.Namespace == "" {
		w.off("tekton", "the configuration has no tekton.namespace")
	} else {
		t := &collect.Tekton{Client: client, Namespace: w.config.Tekton.Namespace, Pipelines: w.config.Tekton.Pipelines, Sink: take, Log: l, Logger: w.logger}
		w.server.health.watch(t.Status)
		w.loop("tekton", t.Run)
	}
	if w.config.Flux.Namespace == "" {
		w.off("flux", "the configuration has no flux.namespace")
		return nil, nil
	}
	k := &collect.Kustomizations{Client: client, Namespace: w.config.Flux.Namespace, Sink: take, Log: l, Logger: w.logger}
	w.server.health.watch(k.Status)
	w.loop("flux", k.Run)
	return k, nil
}

func (w *wiring) loop(name string, run func(context.Context) error) {
	w.server.loops = append(w.server.loops, loop{name, run})
}
