package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/names"
)

// podSecurity tries Kubernetes' own pods for the level restricted in a tenant, as dry runs, which the trace doesn't
// record. Each gets an image and an id that the gatekeeper lets in, so that what is refused is refused for what the
// fixture is about; the pods that must pass show that.
func podSecurity(ctx context.Context, w *world) ([]result, error) {
	good, err := w.admitted(ctx)
	if err != nil {
		return nil, err
	}
	module, err := moduleDir(ctx, "k8s.io/pod-security-admission")
	if err != nil {
		return nil, err
	}
	dir, err := newest(filepath.Join(module, "test", "testdata", "restricted"))
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.yaml"))
	if err != nil {
		return nil, err
	}
	var all []result
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		pod := &corev1.Pod{}
		if err := yaml.UnmarshalStrict(raw, pod); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		dress(pod, good)
		_, err = w.Kube.CoreV1().Pods(good.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		verdict := filepath.Base(filepath.Dir(file))
		res := result{test: verdict + "/" + strings.TrimSuffix(filepath.Base(file), ".yaml")}
		refused := apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
		switch {
		case err != nil && !refused:
			return nil, fmt.Errorf("%s: %w", res.test, err)
		case verdict == "pass" && refused:
			res.state, res.message = failed, err.Error()
		case verdict == "fail" && !refused:
			res.state, res.message = failed, "it is let in"
		}
		all = append(all, res)
	}
	return all, nil
}

// dress gives a fixture a name that the API takes, and what the gatekeeper asks for besides rights.
func dress(pod, good *corev1.Pod) {
	pod.Name = "outsiders"
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[names.LabelAlgorithm] = good.Labels[names.LabelAlgorithm]
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Image = good.Spec.Containers[0].Image
	}
	for i := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[i].Image = good.Spec.Containers[0].Image
	}
}

// admitted is a pod that the gatekeeper let into a tenant.
func (w *world) admitted(ctx context.Context) (*corev1.Pod, error) {
	tenants, err := w.Kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: names.LabelTenant + "=true"})
	if err != nil {
		return nil, err
	}
	for _, tenant := range tenants.Items {
		pods, err := w.Kube.CoreV1().Pods(tenant.Name).List(ctx, metav1.ListOptions{
			LabelSelector: names.LabelAlgorithm, FieldSelector: "status.phase=Running",
		})
		if err != nil {
			return nil, err
		}
		if len(pods.Items) > 0 {
			return &pods.Items[0], nil
		}
	}
	return nil, notRun("nothing runs in a tenant yet: run the scenario first-flight first")
}

// newest is the folder of the newest version, v1.9 before v1.10.
func newest(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	best, minor := "", -1
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "v1.%d", &n); err == nil && n > minor {
			best, minor = e.Name(), n
		}
	}
	if best == "" {
		return "", errors.New("no version of the fixtures found")
	}
	return filepath.Join(dir, best), nil
}
