// Package tektontest holds runs of Tekton's own types as a cluster would, for the tests of what reads them. It
// owns no behaviour of Tekton's.
package tektontest

import (
	"testing"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"

	"github.com/druppie/druppie-up/internal/tekton"
)

// Client is a dynamic client of a cluster with these PipelineRuns and TaskRuns.
func Client(t testing.TB, runs ...runtime.Object) *fake.FakeDynamicClient {
	t.Helper()
	var objects []runtime.Object
	for _, run := range runs {
		kind := "PipelineRun"
		if _, ok := run.(*v1.TaskRun); ok {
			kind = "TaskRun"
		}
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(run)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{Object: raw}
		u.SetGroupVersionKind(v1.SchemeGroupVersion.WithKind(kind))
		objects = append(objects, u)
	}
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		tekton.PipelineRuns: "PipelineRunList", tekton.TaskRuns: "TaskRunList",
	}, objects...)
}
