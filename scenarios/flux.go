package scenarios

import (
	"errors"
	"fmt"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// awaitKustomization waits until check is satisfied with how Flux's Kustomization is, or says what it waits for.
func awaitKustomization(c *call, p *platform.Platform, name string, check func(k *kustomizev1.Kustomization, ready metav1.Condition) (bool, string)) error {
	return c.wait(fluxTimeout, func() (bool, string, error) {
		k := &kustomizev1.Kustomization{}
		u, err := p.Dynamic.Resource(platform.Kustomizations).Namespace(names.NamespaceFlux).Get(c.ctx, name, metav1.GetOptions{})
		if err == nil {
			err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, k)
		}
		if err != nil {
			return false, "", fmt.Errorf("kustomization %s: %w", name, err)
		}
		var ready metav1.Condition
		if found := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition); found != nil {
			ready = *found
		}
		done, waiting := check(k, ready)
		return done, waiting, nil
	})
}

// awaitRevision waits until Flux has dealt with a revision, or with a later one that came meanwhile: it is ready at
// it, or it reports a failure that the pattern fits. REVISION becomes the one that it is at.
func awaitRevision(c *call, p *platform.Platform) error {
	name, revision := c.args[1], c.args[2]
	message, at := "", ""
	compared := map[string]bool{} // whether a revision holds the one that is waited for
	err := awaitKustomization(c, p, name, func(k *kustomizev1.Kustomization, ready metav1.Condition) (bool, string) {
		message, at = ready.Message, k.Status.LastAppliedRevision
		if c.pattern != nil {
			at = k.Status.LastAttemptedRevision
		}
		at = at[strings.LastIndex(at, ":")+1:]
		if _, known := compared[at]; !known {
			has, err := holds(c, p, k.Spec.SourceRef.Name, at, revision)
			if err != nil {
				return false, err.Error() // Gitea may be starting
			}
			compared[at] = has
		}
		switch {
		case !compared[at]:
			return false, fmt.Sprintf("for Flux to come to revision %s of %s; it is at %s: %s", revision, name, at, message)
		case c.pattern == nil:
			return ready.Status == metav1.ConditionTrue, "for " + name + " to be ready: " + message
		}
		failed := ready.Status == metav1.ConditionFalse && c.pattern.MatchString(strings.Join(strings.Fields(message), " "))
		return failed, fmt.Sprintf("for %s to report a failure: %s: %s", name, ready.Status, message)
	})
	if err != nil {
		return err
	}
	c.ts.Setenv("REVISION", at)
	fmt.Fprintln(c.ts.Stdout(), message)
	if message == "" {
		return errors.New("Flux says nothing about it")
	}
	return nil
}

// holds says whether a revision is the commit that is looked for, or came after it. Only the fleet goes on while a
// scenario waits: other tenants' promotions come there too.
func holds(c *call, p *platform.Platform, source, revision, commit string) (bool, error) {
	if revision == commit || revision == "" || source != names.RepoFleet {
		return revision == commit, nil
	}
	client, err := p.Gitea(c.ctx, names.UserFlux)
	if err != nil {
		return false, err
	}
	lacks, resp, err := client.CompareCommits(names.Organisation, names.RepoFleet, revision, commit)
	if err != nil {
		return false, giteaErr("compare "+revision+" with "+commit, resp, err)
	}
	return lacks.TotalCommits == 0, nil
}

// runReconcile asks Flux to reconcile now instead of at its next interval.
func runReconcile(c *call, p *platform.Platform) error {
	_, source := platform.RequestReconcile(c.ctx, p.Dynamic, platform.GitRepositories, c.args[1])
	_, kustomization := platform.RequestReconcile(c.ctx, p.Dynamic, platform.Kustomizations, c.args[0])
	return errors.Join(source, kustomization)
}

// awaitReady waits until Flux isn't reconciling a Kustomization: what it has
// begun it ends, also when it is suspended meanwhile.
func awaitReady(c *call, p *platform.Platform, name string) error {
	return awaitKustomization(c, p, name, func(_ *kustomizev1.Kustomization, ready metav1.Condition) (bool, string) {
		return ready.Status == metav1.ConditionTrue, "for " + name + " to be ready: " + ready.Message
	})
}
