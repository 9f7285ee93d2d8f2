package conformance_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"github.com/druppie/druppie-up/conformance"
)

func TestTestedIsWhatTheClusterRuns(t *testing.T) {
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	pod := func(namespace, name string, containers ...string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		for i := 0; i < len(containers); i += 3 {
			spec, status := corev1.Container{Name: containers[i], Image: containers[i+1]}, corev1.ContainerStatus{Name: containers[i], Image: "sha256:config", ImageID: containers[i+2]}
			if strings.HasPrefix(containers[i], "init-") {
				p.Spec.InitContainers, p.Status.InitContainerStatuses = append(p.Spec.InitContainers, spec), append(p.Status.InitContainerStatuses, status)
				continue
			}
			p.Spec.Containers, p.Status.ContainerStatuses = append(p.Spec.Containers, spec), append(p.Status.ContainerStatuses, status)
		}
		return p
	}
	kyverno := "reg.kyverno.io/kyverno/kyverno:v1.19.1@" + digest("a")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}, Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
		KubeletVersion: "v1.36.4", ContainerRuntimeVersion: "containerd://2.2.9", OSImage: "Debian", KernelVersion: "6.18", Architecture: "amd64",
	}}}
	f := newFixture(t)
	f.Kube = kubefake.NewClientset(node,
		pod("kyverno", "a", "main", kyverno, "reg.kyverno.io/kyverno/kyverno@"+digest("a"), "init-pre", "reg.kyverno.io/kyverno/kyvernopre:v1.19.1", "reg.kyverno.io/kyverno/kyvernopre@"+digest("b")),
		pod("foundry", "b", "main", kyverno, "reg.kyverno.io/kyverno/kyverno@"+digest("a")),
		pod("drones", "c", "main", "registry:5000/druppie/drone-service@"+digest("c"), "registry:5000/druppie/drone-service@"+digest("c")),
		pod("drones", "waiting", "main", "registry:5000/druppie/other:1", ""))
	part, err := f.dynamic.Tracker().Get(kustomRes, "flux-system", "policies")
	if err != nil {
		t.Fatal(err)
	}
	u := part.(*unstructured.Unstructured)
	if err := unstructured.SetNestedField(u.Object, "main@sha1:fe47", "status", "lastAppliedRevision"); err != nil {
		t.Fatal(err)
	}
	if err := f.dynamic.Tracker().Update(kustomRes, u, "flux-system"); err != nil {
		t.Fatal(err)
	}
	got, err := f.Tested(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Kubernetes == "" {
		t.Error("no version of the API server")
	}
	want := conformance.Tested{
		Kubernetes: got.Kubernetes,
		Nodes:      []conformance.Node{{Name: "node", Kubelet: "v1.36.4", Runtime: "containerd://2.2.9", OS: "Debian", Kernel: "6.18", Arch: "amd64"}},
		Images: []conformance.Image{
			{Image: "reg.kyverno.io/kyverno/kyverno", Tag: "v1.19.1", Digest: digest("a"), Namespaces: []string{"foundry", "kyverno"}},
			{Image: "reg.kyverno.io/kyverno/kyvernopre", Tag: "v1.19.1", Digest: digest("b"), Namespaces: []string{"kyverno"}},
			{Image: "registry:5000/druppie/drone-service", Digest: digest("c"), Namespaces: []string{"drones"}},
		},
		Revisions: []conformance.Revision{{Name: "policies", Revision: "main@sha1:fe47"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
