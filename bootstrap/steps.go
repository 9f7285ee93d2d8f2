package bootstrap

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/gitops"
	"github.com/druppie/druppie-up/bootstrap/host"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/supply/own"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// engine sees to it that containers can run; an engine that doctor installed is
// started again, since there may be no systemd that would. Before a cluster is
// made, the machine must offer what it needs: said now, all at once, it costs
// seconds instead of a wait that can't end well.
func (p *platform) engine(ctx context.Context, task ui.Task) (string, error) {
	if err := host.StartEngine(ctx); err != nil {
		return "", err
	}
	state, err := cluster.Inspect(ctx, p.opts.Name)
	if err != nil {
		return "", err
	}
	if err := p.choosePort(ctx, state); err != nil {
		return "", err
	}
	if err := state.Accepts(p.clusterOptions()); err != nil || state.Exists() {
		return "answers", err
	}
	needs, err := HostOptions(p.opts)
	if err != nil {
		return "", err
	}
	findings, err := host.Run(ctx, needs, ui.Discard())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("answers; %s of this machine passed", plural(len(findings), "check")), host.Failed(findings)
}

// supply opens the store and starts to fill it in the background with what it
// lacks, in the order in which the steps need it.
func (p *platform) supply(ctx context.Context, task ui.Task) (string, error) {
	s, err := openStock(p.opts)
	if err != nil {
		return "", err
	}
	p.store, p.components = s.store, s.components
	if err := own.Pack(p.store, p.opts.BinDir); err != nil {
		return "", err
	}
	return p.startFill(ctx)
}

// cluster makes the nodes, or starts those that stopped.
func (p *platform) cluster(ctx context.Context, task ui.Task) (string, error) {
	if err := p.await(ctx, task, component.StageCluster); err != nil {
		return "", err
	}
	kubeconfig, err := cluster.Ensure(ctx, p.clusterOptions(), task)
	if err != nil {
		return "", err
	}
	if p.kube, err = kube.New(kubeconfig); err != nil {
		return "", err
	}
	if err := cluster.RevokeJoinTokens(ctx, p.kube.Clientset); err != nil {
		return "", err
	}
	return plural(1+p.opts.Workers+p.opts.GPUNodes, "node"), nil
}

// clusterOptions say which cluster there should be; what its nodes are made of
// is known once the store is open.
func (p *platform) clusterOptions() cluster.Options {
	o := cluster.Options{
		Name: p.opts.Name, Workers: p.opts.Workers, GPUNodes: p.opts.GPUNodes, Port: p.opts.Port,
		StateDir: p.opts.StateDir, CAFile: filepath.Join(p.opts.StateDir, "ca.crt"), Store: p.store,
	}
	if p.store != nil {
		o.NodeImage, o.BuiltinCNI = nodeImage(p.components), p.builtInNode()
	}
	return o
}

// choosePort keeps the port of a cluster that is there; for a new one, a port
// that the user chose must be free, and a default that is taken moves.
func (p *platform) choosePort(ctx context.Context, state cluster.State) error {
	switch {
	case state.Port != 0:
		if !p.opts.PortChosen {
			p.opts.Port = state.Port
		}
		return nil // a chosen port that differs is refused by cluster.Ensure
	case p.opts.PortChosen:
		if err := host.CheckPort(ctx, p.opts.Port); err != nil {
			return ui.Usage(ui.WithHint(err, "choose another with --port, or leave --port out"))
		}
		return nil
	}
	free, err := host.FreePort(p.opts.Port)
	if err != nil {
		return err
	}
	if free != p.opts.Port {
		p.rep.Note("port %d is taken, so the front door is at port %d", p.opts.Port, free)
	}
	p.opts.Port = free
	return nil
}

// network installs what upstream's node image brings and ours doesn't, and
// waits for the nodes.
func (p *platform) network(ctx context.Context, task ui.Task) (string, error) {
	if !p.builtInNode() {
		objs, err := p.renderer().units(nodeUnits)
		if err != nil {
			return "", err
		}
		if err := p.applyAndWait(ctx, task, objs); err != nil {
			return "", err
		}
	}
	if _, err := cluster.AdvertiseGPU(ctx, p.kube.Clientset); err != nil {
		return "", err
	}
	return "", nil
}

// secrets makes what is generated once, and gives the nodes the CA's certificate.
func (p *platform) secrets(ctx context.Context, task ui.Task) (string, error) {
	made, err := gitops.EnsureSecrets(ctx, p.kube, gitops.Options{Name: p.opts.Name})
	if err != nil {
		return "", err
	}
	p.endpoint = gitops.Endpoint{Port: p.opts.Port, CA: made.CA}
	p.vars = map[string]string{"signing-public-key": string(made.SigningPublicKey)}
	return "", cluster.TrustCA(p.clusterOptions(), made.CA)
}

// foundation installs what Git needs to exist.
func (p *platform) foundation(ctx context.Context, task ui.Task) (string, error) {
	if err := p.await(ctx, task, component.StageFoundation); err != nil {
		return "", err
	}
	objs, err := p.renderer().foundation()
	if err != nil {
		return "", err
	}
	return "", p.applyAndWait(ctx, task, objs)
}

// foundationCharts are installed by the installer itself: namespace by chart.
var foundationCharts = []struct{ chart, namespace string }{
	{"registry", names.NamespaceFoundry}, {"gitea", names.NamespaceGitea}, {"frontdoor", names.NamespaceFoundry},
}

func (r *renderer) foundation() ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	for _, c := range foundationCharts {
		u, err := chartUnit(c.chart, c.namespace)
		if err != nil {
			return nil, err
		}
		more, err := r.objects(u)
		if err != nil {
			return nil, err
		}
		objs = append(objs, more...)
	}
	return objs, nil
}

// gitea sets up what Gitea holds: who may do what, where.
func (p *platform) gitea(ctx context.Context, task ui.Task) (string, error) {
	return "", gitops.EnsureGitea(ctx, p.kube, gitops.GiteaExec(p.kube), p.endpoint)
}

// flux installs Flux's controllers.
func (p *platform) flux(ctx context.Context, task ui.Task) (string, error) {
	u, err := manifestUnit("flux")
	if err != nil {
		return "", err
	}
	objs, err := p.renderer().objects(u)
	if err != nil {
		return "", err
	}
	return "", p.applyAndWait(ctx, task, objs)
}

// platformRepository pushes what Flux is to install, once its images are there,
// and points Flux at it.
func (p *platform) platformRepository(ctx context.Context, task ui.Task) (string, error) {
	if err := p.await(ctx, task, component.StagePlatform, component.StageBuild); err != nil {
		return "", err
	}
	files, err := p.renderer().repository()
	if err != nil {
		return "", err
	}
	if p.revision, err = gitops.PushPlatform(ctx, p.kube, p.endpoint, files, "Render the platform"); err != nil {
		return "", err
	}
	if err := gitops.EnsureFlux(ctx, p.kube); err != nil {
		return "", err
	}
	resumed, err := gitops.Resume(ctx, p.kube)
	if err != nil {
		return "", err
	}
	summary := "at " + p.revision[:min(12, len(p.revision))]
	if len(resumed) > 0 {
		summary += "; resumed " + strings.Join(resumed, ", ")
	}
	return summary, nil
}

// seed puts the base image of services where builds find it.
func (p *platform) seed(ctx context.Context, task ui.Task) (string, error) {
	return "", gitops.SeedRegistry(ctx, p.kube, p.endpoint, p.store)
}

// ready waits until Flux has installed everything at the pushed revision, and
// until nothing is left to be built.
func (p *platform) ready(ctx context.Context, task ui.Task) (string, error) {
	if err := gitops.WaitFlux(ctx, p.kube, p.revision, task); err != nil {
		return "", err
	}
	if err := p.settled(ctx, task); err != nil {
		return "", err
	}
	if p.filling != nil {
		if err := p.filling.Wait(); err != nil {
			return "", err
		}
	}
	return "", nil
}

// settled waits until the platform's own Deployments and StatefulSets are ready,
// whoever installed them: what Flux found ready may have been restarted with its
// node since. Tenants are not the installer's matter.
func (p *platform) settled(ctx context.Context, task ui.Task) error {
	objs, err := platformWorkloads(ctx, p.kube)
	if err != nil {
		return err
	}
	return p.waitReady(ctx, task, objs)
}

// platformWorkloads are the Deployments and StatefulSets of the platform itself.
func platformWorkloads(ctx context.Context, c client.Reader) ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind + "List"))
		if err := c.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list %ss: %w", kind, err)
		}
		for i := range list.Items {
			if slices.Contains(platformNamespaces, list.Items[i].GetNamespace()) {
				objs = append(objs, &list.Items[i])
			}
		}
	}
	return objs, nil
}

// platformNamespaces hold the platform itself, as against its tenants.
var platformNamespaces = []string{
	"kube-system", "local-path-storage", names.NamespaceFoundry, names.NamespaceGitea, names.NamespaceFlux,
	names.NamespaceTekton, names.NamespaceKyverno, names.NamespaceSystem,
}

// applyAndWait applies objects and waits until they are ready.
func (p *platform) applyAndWait(ctx context.Context, task ui.Task, objs []*unstructured.Unstructured) error {
	if _, err := p.kube.Apply(ctx, objs); err != nil {
		return err
	}
	return p.waitReady(ctx, task, objs)
}

func (p *platform) waitReady(ctx context.Context, task ui.Task, objs []*unstructured.Unstructured) error {
	return p.kube.WaitReady(ctx, objs, kube.WaitOptions{
		Timeout: 10 * time.Minute,
		OnWait:  func(waiting []string) { task.Detail("waits for %s", firstOf(waiting)) },
	})
}
