package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/httpclient"
	"github.com/druppie/druppie-up/internal/kubeclient"
	"github.com/druppie/druppie-up/internal/names"
)

const (
	registryCopy  = "outsiders-registry"
	registryWants = 2 * time.Minute // to be ready
)

// ociDistribution runs the conformance suite on a copy of the registry's pod: the same images, configuration,
// certificate and credentials, and an empty volume. What the suite pushes could never be taken out of the registry
// itself, which deletes nothing.
func ociDistribution(ctx context.Context, w *world) (all []result, err error) {
	program, err := w.goTool(ctx, "conformance")
	if err != nil {
		return nil, err
	}
	writer, err := w.Kube.CoreV1().Secrets(names.NamespaceFoundry).Get(ctx, names.RegistryWriter, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	// Also after an interrupt, when ctx is over: what was made here goes.
	defer func() { err = errors.Join(err, w.deleteRegistryCopy(context.WithoutCancel(ctx))) }()
	if err := w.copyRegistry(ctx); err != nil {
		return nil, fmt.Errorf("copy the registry: %w", err)
	}
	transport, err := httpclient.Transport(httpclient.Options{CA: w.door.CA, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return kubeclient.DialPod(ctx, w.config, w.Kube, names.NamespaceFoundry, registryCopy, 5000)
	}})
	if err != nil {
		return nil, err
	}
	address, stop, err := plain("https://"+names.RegistryHost, transport, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	report := filepath.Join(w.temp, "oci")
	_, err = command.Command{Name: program, Dir: w.temp, Env: append(os.Environ(),
		"OCI_REGISTRY="+address, "OCI_TLS=disabled", "OCI_REPO1=outsiders/one", "OCI_REPO2=outsiders/two",
		"OCI_USERNAME="+string(writer.Data["username"]), "OCI_PASSWORD="+string(writer.Data["password"]),
		"OCI_RESULTS_DIR="+report, "OCI_LOG=error",
	)}.Output(ctx)
	file, openErr := os.Open(filepath.Join(report, "junit.xml"))
	if openErr != nil {
		return nil, errors.Join(err, openErr)
	}
	defer file.Close()
	// It ends with 1 where a test failed; the report says which.
	return readJUnit(file)
}

func (w *world) copyRegistry(ctx context.Context) error {
	if err := w.deleteRegistryCopy(ctx); err != nil {
		return err
	}
	pods := w.Kube.CoreV1().Pods(names.NamespaceFoundry)
	found, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=registry", FieldSelector: "status.phase=Running"})
	if err != nil {
		return err
	}
	if len(found.Items) == 0 {
		return errors.New("no pod of it runs")
	}
	// None of its labels, or the registry's Service would send others here.
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: registryCopy, Labels: map[string]string{"app.kubernetes.io/name": registryCopy}}, Spec: found.Items[0].Spec}
	pod.Spec.NodeName = ""
	for i, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			pod.Spec.Volumes[i].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		}
	}
	if _, err := pods.Create(ctx, pod, metav1.CreateOptions{FieldManager: "outsiders"}); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, time.Second, registryWants, true, func(ctx context.Context) (bool, error) {
		p, err := pods.Get(ctx, registryCopy, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
		return false, nil
	})
}

// deleteRegistryCopy waits until the copy is gone, also one that an earlier run left.
func (w *world) deleteRegistryCopy(ctx context.Context) error {
	pods := w.Kube.CoreV1().Pods(names.NamespaceFoundry)
	now := int64(0)
	return wait.PollUntilContextTimeout(ctx, time.Second, registryWants, true, func(ctx context.Context) (bool, error) {
		err := pods.Delete(ctx, registryCopy, metav1.DeleteOptions{GracePeriodSeconds: &now})
		gone := apierrors.IsNotFound(err)
		if gone {
			err = nil
		}
		return gone, err
	})
}
