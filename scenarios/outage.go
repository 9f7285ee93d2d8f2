package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// workload is a program of the platform that scenarios stop.
type workload struct {
	resource        schema.GroupVersionResource
	namespace, name string
	kustomization   string // Flux's, that starts it again
}

var workloads = map[string]workload{
	"gatekeeper": {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, names.NamespaceKyverno, "kyverno-admission-controller", "kyverno"},
	"trace":      {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, names.NamespaceSystem, "tracedb", "tracedb"},
}

// runOutage scales a workload to nothing by hand, or waits until it is back. Nobody but
// Flux starts it again; stop suspends that until release, or until the script ends, whatever becomes of it.
// Otherwise it could be back before anybody has seen that it was gone: nobody can tell when Flux looks next.
func runOutage(c *call, p *platform.Platform) error {
	w, verb := workloads[c.args[0]], c.args[1]
	switch verb {
	case "release":
		return platform.Suspend(c.ctx, p.Dynamic, w.kustomization, false, fieldManager)
	case "stop":
		c.cleanup("Flux's suspension of "+w.kustomization, func(after *call) error {
			return platform.Suspend(after.ctx, p.Dynamic, w.kustomization, false, fieldManager)
		})
		if err := platform.Suspend(c.ctx, p.Dynamic, w.kustomization, true, fieldManager); err != nil {
			return err
		}
		if err := awaitReady(c, p, w.kustomization); err != nil {
			return err
		}
	}
	client := p.Dynamic.Resource(w.resource).Namespace(w.namespace)
	if verb != "back" {
		patch := []byte(`{"spec":{"replicas":0}}`)
		if _, err := client.Patch(c.ctx, w.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
			return fmt.Errorf("scale %s to nothing: %w", w.name, err)
		}
	}
	return c.wait(fluxTimeout, func() (bool, string, error) {
		d, err := client.Get(c.ctx, w.name, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("look at %s: %w", w.name, err)
		}
		running, _, _ := unstructured.NestedInt64(d.Object, "status", "replicas") // absent is none
		ready, _, _ := unstructured.NestedInt64(d.Object, "status", "readyReplicas")
		if verb != "back" {
			return running == 0, fmt.Sprintf("for %d pods of %s to end", running, w.name), nil
		}
		return ready > 0, "for Flux to put " + w.name + " back", nil
	})
}

// runBlocked wants an object kept out because no webhook answers: the API
// server fails closed. runAnswered waits until the webhooks answer again,
// whatever the answer: a ready pod is reached a moment later.
func runBlocked(c *call, p *platform.Platform) error  { return createUntil(c, p, true) }
func runAnswered(c *call, p *platform.Platform) error { return createUntil(c, p, false) }

// createUntil creates an object, as a dry run, until the webhook fails to answer, or answers.
func createUntil(c *call, p *platform.Platform, fails bool) error {
	obj, client, err := c.object(p, c.args[0])
	if err != nil {
		return err
	}
	// The pod that was just there may answer while it ends.
	return c.wait(time.Minute, func() (bool, string, error) {
		_, err := client.Create(c.ctx, obj, metav1.CreateOptions{FieldManager: fieldManager, DryRun: []string{metav1.DryRunAll}})
		unanswered := err != nil && apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
		switch {
		case unanswered == fails:
			if fails {
				fmt.Fprintln(c.ts.Stderr(), err)
			}
			return true, "", nil
		case fails && err == nil:
			return false, "", errors.New("it was admitted without a webhook's answer")
		case fails:
			return false, "for the last webhook to stop answering", nil
		}
		return false, "for the webhooks to answer", nil
	})
}
