package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/flux"
	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/bootstrap/gitea"
	"github.com/druppie/druppie-up/bootstrap/host"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/secrets"
	"github.com/druppie/druppie-up/bootstrap/supply/own"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/ui"
)

// engine starts a container engine that is installed and doesn't run, since there
// may be no systemd that would. Before a cluster is made, all checks of the machine
// have to pass: a missing requirement is reported in seconds, and not after a wait.
func (p *platform) engine(ctx context.Context, task ui.Task) (string, error) {
	state, err := cluster.Inspect(ctx, p.opts.Name)
	if err != nil {
		if err := host.StartEngine(ctx); err != nil {
			return "", err
		}
		if state, err = cluster.Inspect(ctx, p.opts.Name); err != nil {
			return "", err
		}
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
	in, err := openInputs(p.opts)
	if err != nil {
		return "", err
	}
	p.inputs = in
	if err := own.Pack(in.store, p.opts.BinDir); err != nil {
		return "", err
	}
	if p.fill, err = startFill(ctx, in, p.rep); err != nil {
		return "", err
	}
	return p.fill.String(), nil
}

// cluster makes the nodes, or starts those that stopped.
func (p *platform) cluster(ctx context.Context, task ui.Task) (string, error) {
	if err := p.await(ctx, task, component.StageCluster); err != nil {
		return "", err
	}
	var err error
	if p.kube, err = cluster.Ensure(ctx, p.clusterOptions(), task); err != nil {
		return "", err
	}
	if err := cluster.RevokeBootstrapTokens(ctx, p.kube.Clientset); err != nil {
		return "", err
	}
	return plural(1+p.opts.Workers+p.opts.GPUNodes, "node"), nil
}

// clusterOptions say which cluster there should be; what its nodes are made of
// is known once the store is open.
func (p *platform) clusterOptions() cluster.Options {
	o := cluster.Options{
		Name: p.opts.Name, Workers: p.opts.Workers, GPUNodes: p.opts.GPUNodes, Port: p.opts.Port,
		StateDir: p.opts.StateDir, Store: p.inputs.store,
	}
	if p.fill != nil {
		o.NodeImage = p.inputs.nodeImage()
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

// network installs what pods connect by, and what upstream's node image brings and ours doesn't,
// and waits for the nodes. Nodes that kind's own network daemon was installed on keep that one.
func (p *platform) network(ctx context.Context, task ui.Task) (string, error) {
	var parts []part.Part
	_, err := p.kube.Clientset.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, "kindnet", metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		parts = part.InstalledBy(part.Network)
	case err != nil:
		return "", fmt.Errorf("look for kind's network daemon: %w", err)
	}
	if !p.builtInNode() {
		parts = append(parts, part.InstalledBy(part.Node)...)
	}
	if err := p.install(ctx, task, parts...); err != nil {
		return "", err
	}
	if _, err := cluster.AdvertiseGPU(ctx, p.kube.Clientset); err != nil {
		return "", err
	}
	return "", nil
}

// secrets makes what is generated once, and gives the nodes the CA's certificate.
func (p *platform) secrets(ctx context.Context, task ui.Task) (string, error) {
	made, err := secrets.Ensure(ctx, p.kube.Client, secrets.Options{Name: p.opts.Name, Users: gitea.Users()})
	if err != nil {
		return "", err
	}
	p.endpoint = frontdoor.Endpoint{Port: p.opts.Port, CA: made.CA}
	p.webhook = gitea.Webhook{URL: flux.WebhookURL(made.FluxWebhook), Secret: made.FluxWebhook}
	nodes, err := cluster.Network(ctx)
	if err != nil {
		return "", err
	}
	p.vars = map[string]string{varSigningKey: string(made.SigningPublicKey), varNodes: nodes.String()}
	p.certificates = made.Certificates
	return "", cluster.TrustCA(p.clusterOptions(), made.CA)
}

// readTenants reads who has services here; a new platform has the sample.
func (p *platform) readTenants(ctx context.Context, task ui.Task) (string, error) {
	var err error
	if p.tenants, err = tenant.Ensure(ctx, p.kube.Client); err != nil {
		return "", err
	}
	var list []string
	for _, t := range p.tenants {
		list = append(list, t.Name)
	}
	return strings.Join(list, ", "), nil
}

// foundation installs what Git needs to exist, and begins with Flux if its images
// are there: its controllers start while Gitea is set up.
func (p *platform) foundation(ctx context.Context, task ui.Task) (string, error) {
	if err := p.install(ctx, task, foundationParts()...); err != nil {
		return "", err
	}
	q, err := part.Find(fluxPart)
	if err != nil {
		return "", err
	}
	objs, missing, err := p.renderer().part(q)
	if err != nil || len(missing) > 0 {
		return "", err
	}
	if _, err = p.kube.Apply(ctx, objs); err == nil {
		p.fluxObjects = objs
	}
	return "", err
}

// fluxPart is Flux itself.
const fluxPart = "flux"

// foundationParts are the parts that Git needs.
func foundationParts() []part.Part {
	return slices.DeleteFunc(part.InstalledBy(part.Foundation), func(q part.Part) bool { return q.Name == fluxPart })
}

// gitea sets up what Gitea holds: who may do what, where.
func (p *platform) gitea(ctx context.Context, task ui.Task) (string, error) {
	return "", gitea.Ensure(ctx, p.kube.Client, gitea.PodExec(p.kube), p.endpoint, p.webhook, p.tenants)
}

// flux installs Flux's controllers, or waits for those that foundation has applied.
func (p *platform) flux(ctx context.Context, task ui.Task) (string, error) {
	if p.fluxObjects != nil {
		return "", p.waitReady(ctx, task, p.fluxObjects)
	}
	q, err := part.Find(fluxPart)
	if err != nil {
		return "", err
	}
	return "", p.install(ctx, task, q)
}

// platformRepository pushes what Flux is to install and points Flux at it. Where
// the repository holds already what this program renders, nothing is rendered.
func (p *platform) platformRepository(ctx context.Context, task ui.Task) (string, error) {
	key, err := p.renderer().key()
	if err != nil {
		return "", err
	}
	head, err := gitea.PlatformHead(ctx, p.kube.Client, p.endpoint)
	if err != nil {
		return "", err
	}
	rendered, err := flux.RenderedFrom(ctx, p.kube)
	if err != nil {
		return "", err
	}
	if p.revision = head; rendered != key+"@"+head {
		if err := p.renderAndPush(ctx, task); err != nil {
			return "", err
		}
		if key, err = p.renderer().key(); err != nil { // images may have come meanwhile
			return "", err
		}
	}
	if err := flux.Sync(ctx, p.kube, key+"@"+p.revision); err != nil {
		return "", err
	}
	resumed, err := flux.Resume(ctx, p.kube)
	if err != nil {
		return "", err
	}
	summary := "at " + p.revision[:min(12, len(p.revision))]
	if len(resumed) > 0 {
		summary += "; resumed " + strings.Join(resumed, ", ")
	}
	return summary, nil
}

// renderAndPush makes the platform repository hold what Flux is to install. While
// images of a part are still to come, Flux begins with the parts before it.
func (p *platform) renderAndPush(ctx context.Context, task ui.Task) error {
	var parts []part.Part
	files := map[string][]byte{}
	push := func() error {
		all, err := flux.Tree(parts, p.tenants)
		if err != nil {
			return err
		}
		maps.Copy(all, files)
		p.revision, err = gitea.PushPlatform(ctx, p.kube.Client, p.endpoint, all, "Render the platform")
		return err
	}
	pushed := 0
	early := func() error {
		if len(parts) == pushed {
			return nil
		}
		pushed = len(parts)
		held, err := gitea.PlatformFolders(ctx, p.kube.Client, p.endpoint)
		if err != nil || !removesNothing(held, parts) {
			return err
		}
		if err := push(); err != nil {
			return err
		}
		return flux.Sync(ctx, p.kube, "")
	}
	for _, q := range part.InstalledBy(part.Flux) {
		objs, err := p.rendered(ctx, task, q, early)
		if err != nil {
			return err
		}
		if files[q.RepositoryFolder()+"/all.yaml"], err = kube.Encode(objs); err != nil {
			return err
		}
		parts = append(parts, q)
	}
	return push()
}

// removesNothing says whether every folder that the repository has is the entry point's or a known part's: what
// isn't pushed again, Flux takes away. One that an older build called otherwise counts as missing.
func removesNothing(folders []string, known []part.Part) bool {
	return !slices.ContainsFunc(folders, func(folder string) bool {
		isKnown := slices.ContainsFunc(known, func(q part.Part) bool { return q.RepositoryFolder() == folder })
		return !isKnown && !flux.IsEntry(folder)
	})
}

// seed puts the base image of services where builds find it.
func (p *platform) seed(ctx context.Context, task ui.Task) (string, error) {
	if err := p.fill.await(ctx, p.inputs.store, task, baseImageRefs()); err != nil {
		return "", fmt.Errorf("base images of services: %w", err)
	}
	return "", PushBaseImages(ctx, p.kube, p.endpoint, p.inputs.store)
}

// ready waits until Flux has installed everything at the pushed revision, and
// until nothing is left to be built. A platform with a control that is weakened on
// purpose isn't ready, whatever Flux says: it doesn't put back all of it.
func (p *platform) ready(ctx context.Context, task ui.Task) (string, error) {
	if weakened, err := mutation(ctx, p.kube); err != nil || weakened != "" {
		return "", cmp.Or(err, errors.New(weakened))
	}
	if err := flux.Wait(ctx, p.kube, p.revision, task); err != nil {
		return "", err
	}
	if err := p.waitWorkloads(ctx, task); err != nil {
		return "", err
	}
	return "", p.fill.wait()
}

// waitWorkloads waits until the platform's own workloads are ready, whoever installed them:
// what Flux found ready may have been restarted with its node since. Tenants are not the
// installer's matter.
func (p *platform) waitWorkloads(ctx context.Context, task ui.Task) error {
	objs, err := platformWorkloads(ctx, p.kube)
	if err != nil {
		return err
	}
	return p.waitReady(ctx, task, objs)
}

// platformWorkloads are the Deployments, StatefulSets and DaemonSets of the platform itself.
func platformWorkloads(ctx context.Context, c client.Reader) ([]*unstructured.Unstructured, error) {
	var objs []*unstructured.Unstructured
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind + "List"))
		if err := c.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list %ss: %w", kind, err)
		}
		for i := range list.Items {
			if part.IsNamespace(list.Items[i].GetNamespace()) {
				objs = append(objs, &list.Items[i])
			}
		}
	}
	return objs, nil
}

// install applies parts, each as soon as its images are there, and waits until
// all are ready.
func (p *platform) install(ctx context.Context, task ui.Task, parts ...part.Part) error {
	var all []*unstructured.Unstructured
	for _, q := range parts {
		objs, err := p.rendered(ctx, task, q, nil)
		if err != nil {
			return err
		}
		if _, err := p.kube.Apply(ctx, objs); err != nil {
			return fmt.Errorf("%s: %w", q.Name, err)
		}
		all = append(all, objs...)
	}
	return p.waitReady(ctx, task, all)
}

func (p *platform) waitReady(ctx context.Context, task ui.Task, objs []*unstructured.Unstructured) error {
	return p.kube.WaitReady(ctx, objs, kube.WaitOptions{
		Timeout: 10 * time.Minute,
		OnWait:  func(waiting []string) { task.Detail("waits for %s", summarize(waiting)) },
	})
}
