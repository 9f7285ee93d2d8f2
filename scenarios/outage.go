package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/names"
)

// part is a program of the platform that scenarios take away.
type part struct {
	resource        schema.GroupVersionResource
	namespace, name string
	owner           string // Flux's Kustomization that puts it back
}

var parts = map[string]part{
	"gatekeeper": {deployments, names.NamespaceKyverno, "kyverno-admission-controller", "kyverno"},
	"trace":      {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, names.NamespaceSystem, "tracedb", "tracedb"},
}

// runOutage takes a part away by hand, or waits until it is back. Nobody but
// Flux puts it back, within about two minutes; hold keeps Flux from it until
// release, or until the script ends, whatever becomes of it.
func runOutage(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	gone, verb := parts[c.args[0]], c.args[1]
	owner := p.Dynamic.Resource(kustomizations).Namespace(names.NamespaceFlux)
	switch verb {
	case "release":
		return suspend(c.ctx, owner, gone.owner, false)
	case "stop":
		if err := awaitLook(c, owner, gone.owner); err != nil {
			return err
		}
	case "hold":
		if err := awaitIdle(c, owner, gone.owner); err != nil {
			return err
		}
		c.ts.Defer(func() {
			if err := suspend(contextWithoutEnd(c.ctx), owner, gone.owner, false); err != nil {
				c.ts.Logf("left behind: %v", err)
			}
		})
		if err := suspend(c.ctx, owner, gone.owner, true); err != nil {
			return err
		}
	}
	client := p.Dynamic.Resource(gone.resource).Namespace(gone.namespace)
	if verb != "back" {
		patch := []byte(`{"spec":{"replicas":0}}`)
		if _, err := client.Patch(c.ctx, gone.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "druppie-scenario"}); err != nil {
			return fmt.Errorf("scale %s to nothing: %w", gone.name, err)
		}
	}
	return c.wait(fluxTimeout, func() (bool, string, error) {
		d, err := client.Get(c.ctx, gone.name, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("look at %s: %w", gone.name, err)
		}
		running, _, _ := unstructured.NestedInt64(d.Object, "status", "replicas") // absent is none
		ready, _, _ := unstructured.NestedInt64(d.Object, "status", "readyReplicas")
		if verb != "back" {
			return running == 0, fmt.Sprintf("for %d pods of %s to end", running, gone.name), nil
		}
		return ready > 0, "for Flux to put " + gone.name + " back", nil
	})
}

// awaitLook asks Flux to look at a Kustomization and waits until it has, so that what is taken away now is
// gone for nearly an interval: it could be put back before anybody has seen that it was gone.
func awaitLook(c *call, owner dynamic.ResourceInterface, name string) error {
	at := time.Now().Format(time.RFC3339Nano)
	if _, err := owner.Patch(c.ctx, name, types.MergePatchType, lookNow(at), metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("ask Flux for %s: %w", name, err)
	}
	return c.wait(fluxTimeout, func() (bool, string, error) {
		k, err := owner.Get(c.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("kustomization %s: %w", name, err)
		}
		handled, _, _ := unstructured.NestedString(k.Object, "status", "lastHandledReconcileAt")
		ready, message := condition(k, "Ready")
		return handled == at && ready == "True", "for Flux to look at " + name + ": " + message, nil
	})
}

// lookNow is the patch that asks Flux to look now instead of at its next interval.
func lookNow(at string) []byte {
	return fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, at)
}

// awaitIdle waits until Flux does nothing about a Kustomization: what it has
// begun it ends, though it is told to leave the rest.
func awaitIdle(c *call, owner dynamic.ResourceInterface, name string) error {
	return c.wait(fluxTimeout, func() (bool, string, error) {
		k, err := owner.Get(c.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, "", fmt.Errorf("kustomization %s: %w", name, err)
		}
		ready, message := condition(k, "Ready")
		return ready == "True", "for " + name + " to be ready: " + message, nil
	})
}

// suspend tells Flux to leave a Kustomization's objects as they are, or no
// longer. Git says nothing of it, so Flux doesn't take that back by itself.
func suspend(ctx context.Context, owner dynamic.ResourceInterface, name string, yes bool) error {
	patch := []byte(`{"spec":{"suspend":null}}`)
	if yes {
		patch = []byte(`{"spec":{"suspend":true}}`)
	}
	if _, err := owner.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "druppie-scenario"}); err != nil {
		return fmt.Errorf("suspend kustomization %s: %t: %w", name, yes, err)
	}
	return nil
}

// runBlocked wants an object kept out because nobody could be asked: the API
// server fails closed. runAnswered waits until somebody can be asked again,
// whatever the answer: a ready pod is reached a moment later.
func runBlocked(c *call) error  { return askUntil(c, true) }
func runAnswered(c *call) error { return askUntil(c, false) }

// askUntil asks, as a dry run, until the webhook fails to answer, or answers.
func askUntil(c *call, fails bool) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	data, err := os.ReadFile(c.ts.MkAbs(c.args[0]))
	if err != nil {
		return err
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(c.expand(string(data))), &obj.Object); err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	client, err := resource(p, obj)
	if err != nil {
		return err
	}
	// The pod that was just there may answer while it ends.
	return c.wait(time.Minute, func() (bool, string, error) {
		_, err := client.Create(c.ctx, obj, metav1.CreateOptions{FieldManager: "druppie-scenario", DryRun: []string{metav1.DryRunAll}})
		unanswered := err != nil && apierrors.IsInternalError(err) && strings.Contains(err.Error(), "failed calling webhook")
		switch {
		case unanswered == fails:
			if fails {
				fmt.Fprintln(c.ts.Stderr(), err)
			}
			return true, "", nil
		case fails && err == nil:
			return false, "", errors.New("it was admitted with nobody to ask")
		case fails:
			return false, "for the last webhook to stop answering", nil
		}
		return false, "for the webhooks to answer", nil
	})
}
