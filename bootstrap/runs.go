package bootstrap

import (
	"context"
	"fmt"

	"github.com/tektoncd/cli/pkg/formatted"
	pipelinerun "github.com/tektoncd/cli/pkg/pipelinerun/sort"
	tektonv1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	tekton "github.com/tektoncd/pipeline/pkg/client/clientset/versioned"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/names"
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
	client, err := tekton.NewForConfig(c.RESTConfig)
	if err != nil {
		return nil, fmt.Errorf("tekton client: %w", err)
	}
	list, err := client.TektonV1().PipelineRuns(names.NamespaceFoundry).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list pipeline runs: %w", err)
	}
	pipelinerun.SortByStartTime(list.Items)
	runs := make([]PipelineRun, 0, runsShown)
	for _, pr := range list.Items[:min(runsShown, len(list.Items))] {
		runs = append(runs, describeRun(&pr))
	}
	return runs, nil
}

func describeRun(pr *tektonv1.PipelineRun) PipelineRun {
	run := PipelineRun{
		Name:       pr.Name,
		Repository: pr.Labels[names.LabelRepository],
		Commit:     pr.Labels[names.LabelCommit],
		State:      formatted.Condition(pr.Status.Conditions),
		Took:       formatted.Duration(pr.Status.StartTime, pr.Status.CompletionTime),
	}
	for _, r := range pr.Status.Results {
		if r.Name == "digest" {
			run.Digest = r.Value.StringVal
		}
	}
	return run
}
