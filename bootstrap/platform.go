package bootstrap

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/bootstrap/gitea"
	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/part"
	"github.com/druppie/druppie-up/bootstrap/tenant"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// platform is one run of `up`: what its steps hand to each other.
type platform struct {
	rep    ui.Reporter
	opts   Options // of the cluster that there is: the port may not be the one that was asked for
	inputs inputs  // since the step `supply`
	fill   *fill

	kube     *kube.Client
	endpoint frontdoor.Endpoint
	webhook  gitea.Webhook // by which Gitea tells Flux of pushes
	vars     map[string]string
	tenants  []tenant.Tenant
	// certificates are the fingerprints of those that parts serve, by the name of the secret.
	certificates map[string]string
	revision     string // commit of the platform repository

	fluxObjects []*unstructured.Unstructured // Flux itself, once foundation has applied it
}

// await waits until the store has what a stage needs.
func (p *platform) await(ctx context.Context, task ui.Task, stage string) error {
	// What the node image brings is known only once it is there.
	err := p.fill.await(ctx, p.inputs.store, task, []string{p.inputs.nodeImage()})
	if err == nil {
		err = p.fill.await(ctx, p.inputs.store, task, images(p.inputs.components, p.builtInNode(), stage))
	}
	if err != nil {
		return fmt.Errorf("images of stage %s: %w", stage, err)
	}
	return nil
}

// rendered is a part, once the store has its images. Before it waits for any it
// calls idle, if there is one.
func (p *platform) rendered(ctx context.Context, task ui.Task, q part.Part, idle func() error) ([]*unstructured.Unstructured, error) {
	for {
		objs, missing, err := p.renderer().part(q)
		if err != nil || len(missing) == 0 {
			return objs, err
		}
		if idle != nil {
			if err := idle(); err != nil {
				return nil, err
			}
		}
		if err := p.fill.await(ctx, p.inputs.store, task, missing); err != nil {
			return nil, fmt.Errorf("images of %s: %w", q.Name, err)
		}
	}
}

func (p *platform) builtInNode() bool { return p.inputs.builtInNode(p.fill.source) }

func (p *platform) renderer() renderer { return renderer{p.inputs, p.vars, p.tenants, p.certificates} }

// close ends what goes on in the background.
func (p *platform) close() {
	if p.fill != nil {
		p.fill.close()
	}
}

func (p *platform) summary(took time.Duration) Summary {
	return Summary{
		Name:       p.opts.Name,
		Kubeconfig: p.opts.Kubeconfig(),
		URLs:       urls(p.opts.Port),
		Revision:   p.revision,
		Supply:     p.fill.name(),
		Took:       took,
	}
}

// urls are the pages behind the front door.
func urls(port int) []URL {
	at := func(host string) string { return fmt.Sprintf("https://%s.%s:%d/", host, names.Domain, port) }
	return []URL{
		{Title: "Start page", Address: fmt.Sprintf("https://%s:%d/", names.Domain, port)},
		{Title: "Gitea", Address: at("gitea")},
		{Title: "Registry", Address: at("registry") + "v2/_catalog"},
		{Title: "Trace", Address: at("trace")},
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// summarize shows one of many, since a line has no room for all.
func summarize(names []string) string {
	switch len(names) {
	case 0:
		return "nothing"
	case 1:
		return names[0]
	}
	return fmt.Sprintf("%s (and %d more)", names[0], len(names)-1)
}
