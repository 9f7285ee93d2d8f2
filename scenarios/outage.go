package scenarios

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// part is a program of the platform that scenarios take away.
type part struct {
	resource        schema.GroupVersionResource
	namespace, name string
}

var parts = map[string]part{
	"gatekeeper": {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "kyverno", "kyverno-admission-controller"},
	"trace":      {schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}, "druppie-system", "tracedb"},
}

// runOutage takes a part away by hand, or waits until it is back. Nobody but
// Flux puts it back.
func runOutage(c *call) error {
	p, err := c.platform()
	if err != nil {
		return err
	}
	gone := parts[c.args[0]]
	client := p.Dynamic.Resource(gone.resource).Namespace(gone.namespace)
	if c.args[1] == "stop" {
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
		if c.args[1] == "stop" {
			return running == 0, fmt.Sprintf("for %d pods of %s to end", running, gone.name), nil
		}
		return ready > 0, "for Flux to put " + gone.name + " back", nil
	})
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
