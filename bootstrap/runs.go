package bootstrap

import (
	"context"
	"fmt"
	"slices"

	"github.com/tektoncd/cli/pkg/formatted"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/tekton"
)

// runsShown bounds how many pipeline runs a status lists, newest first.
const runsShown = 5

// PipelineRun is one run of the foundry's pipeline, said the way tkn says it.
type PipelineRun struct {
	Name       string `json:"name"`
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	Digest     string `json:"digest,omitempty"`
	State      string `json:"state"`
	Took       string `json:"took,omitempty"`
}

// pipelineRuns are the newest runs in the foundry; none while Tekton isn't there.
func pipelineRuns(ctx context.Context, c *kube.Client) ([]PipelineRun, error) {
	client, err := dynamic.NewForConfig(c.RESTConfig)
	if err != nil {
		return nil, fmt.Errorf("client of Tekton's runs: %w", err)
	}
	list, err := tekton.List(ctx, client, tekton.PipelineRuns, names.NamespaceFoundry, nil)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list pipeline runs: %w", err)
	}
	slices.Reverse(list)
	runs := make([]PipelineRun, 0, runsShown)
	for _, r := range list[:min(runsShown, len(list))] {
		runs = append(runs, describeRun(r))
	}
	return runs, nil
}

func describeRun(r *tekton.Run) PipelineRun {
	var conditions duckv1.Conditions
	if c := r.Succeeded(); c != nil {
		conditions = duckv1.Conditions{{Type: apis.ConditionSucceeded, Status: corev1.ConditionStatus(c.Status), Reason: c.Reason}}
	}
	return PipelineRun{
		Name:       r.Name,
		Repository: r.Labels[names.LabelRepository],
		Commit:     r.Labels[names.LabelCommit],
		Digest:     r.Result("digest"),
		State:      formatted.Condition(conditions),
		Took:       formatted.Duration(r.Status.StartTime, r.Status.CompletionTime),
	}
}
