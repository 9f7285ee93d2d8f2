package conformance

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

// Tested is what stood and ran in the cluster, as the cluster says.
type Tested struct {
	Kubernetes string     `json:"kubernetes"` // version of the API server
	Nodes      []Node     `json:"nodes"`
	Images     []Image    `json:"images"`
	Revisions  []Revision `json:"revisions"`
}

// Node is a machine of the cluster.
type Node struct {
	Name    string `json:"name"`
	Kubelet string `json:"kubelet"`
	Runtime string `json:"runtime"`
	OS      string `json:"os"`
	Kernel  string `json:"kernel"`
	Arch    string `json:"arch"`
}

// Image is a program that runs, or has run in a pod that is still there.
type Image struct {
	Image      string   `json:"image"`
	Tag        string   `json:"tag,omitempty"` // upstream's version; a built service has none
	Digest     string   `json:"digest"`        // as the container runtime says
	Namespaces []string `json:"namespaces"`
}

// Revision is what Flux has last applied of Git, for one of its Kustomizations: policies, pipelines, a tenant.
type Revision struct {
	Name     string `json:"name"`
	Revision string `json:"revision"`
}

// Tested reads what there is.
func (p Platform) Tested(ctx context.Context) (Tested, error) {
	var t Tested
	version, err := p.Kube.Discovery().ServerVersion()
	if err != nil {
		return t, fmt.Errorf("version of the API server: %w", err)
	}
	t.Kubernetes = version.GitVersion
	nodes, err := p.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return t, fmt.Errorf("list nodes: %w", err)
	}
	for _, n := range nodes.Items {
		i := n.Status.NodeInfo
		t.Nodes = append(t.Nodes, Node{n.Name, i.KubeletVersion, i.ContainerRuntimeVersion, i.OSImage, i.KernelVersion, i.Architecture})
	}
	pods, err := p.Kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return t, fmt.Errorf("list pods: %w", err)
	}
	t.Images = images(pods.Items)
	t.Revisions, err = p.revisions(ctx)
	return t, err
}

// images are those of pods, each once. A pod names what was asked for, and its status the digest that was taken.
func images(pods []corev1.Pod) []Image {
	var all []Image
	for _, pod := range pods {
		asked := map[string]string{}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			asked[c.Name] = c.Image
		}
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			_, digest, pulled := strings.Cut(c.ImageID, "@")
			if !pulled {
				continue
			}
			img := Image{Image: asked[c.Name], Digest: digest, Namespaces: []string{pod.Namespace}}
			if ref, err := reference.Parse(asked[c.Name]); err == nil {
				if named, ok := ref.(reference.Named); ok {
					img.Image = named.Name()
				}
				if tagged, ok := ref.(reference.Tagged); ok {
					img.Tag = tagged.Tag()
				}
			}
			i := slices.IndexFunc(all, func(o Image) bool { return o.Image == img.Image && o.Tag == img.Tag && o.Digest == img.Digest })
			switch {
			case i < 0:
				all = append(all, img)
			case !slices.Contains(all[i].Namespaces, pod.Namespace):
				all[i].Namespaces = append(all[i].Namespaces, pod.Namespace)
			}
		}
	}
	for _, img := range all {
		slices.Sort(img.Namespaces)
	}
	slices.SortFunc(all, func(a, b Image) int {
		return cmp.Or(cmp.Compare(a.Image, b.Image), cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.Digest, b.Digest))
	})
	return all
}

func (p Platform) revisions(ctx context.Context) ([]Revision, error) {
	list, err := p.Dynamic.Resource(platform.Kustomizations).Namespace(names.NamespaceFlux).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list kustomizations: %w", err)
	}
	var all []Revision
	for _, u := range list.Items {
		var k kustomizev1.Kustomization
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &k); err != nil {
			return nil, fmt.Errorf("kustomization %s: %w", u.GetName(), err)
		}
		all = append(all, Revision{k.Name, k.Status.LastAppliedRevision})
	}
	slices.SortFunc(all, func(a, b Revision) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}
