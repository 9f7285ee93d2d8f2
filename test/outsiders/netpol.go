package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/bootstrap/supply/layer"
	"github.com/druppie/druppie-up/internal/command"
)

// kubernetesTools is the module that pins Kubernetes' own tests and their image.
const kubernetesTools = "tools/kubernetes"

// networkPolicies runs Kubernetes' end-to-end tests of network policies in namespaces of their own. The image of their
// pods is built from the same module, brought into each node, and taken out again.
func networkPolicies(ctx context.Context, w *world) (all []result, err error) {
	program, err := w.build(ctx, kubernetesTools, "netpol", "tool", "./netpol")
	if err != nil {
		return nil, err
	}
	image, err := command.Output(ctx, program, "--image")
	if err != nil {
		return nil, err
	}
	clean, err := w.load(ctx, strings.TrimSpace(string(image)), filepath.Join(filepath.Dir(program), "agnhost"))
	// Also after an interrupt: what was brought into the nodes goes.
	defer func() { err = errors.Join(err, clean()) }()
	if err != nil {
		return nil, err
	}
	_, err = command.Command{Name: program, Dir: w.temp, Args: []string{
		"--kubeconfig=" + w.which.Kubeconfig(), "--provider=local", "--report-dir=" + w.temp, "--report-prefix=netpol_",
		// Without a focus it would leave out what not every network can; all of it is asked here.
		"--ginkgo.focus=Netpol", "--dump-logs-on-failure=false", "--ginkgo.no-color", "--ginkgo.timeout=3h",
	}}.Output(ctx)
	reports, globErr := filepath.Glob(filepath.Join(w.temp, "junit_netpol_*.xml"))
	if len(reports) != 1 {
		return nil, errors.Join(err, globErr, fmt.Errorf("%d reports, instead of one", len(reports)))
	}
	file, openErr := os.Open(reports[0])
	if openErr != nil {
		return nil, errors.Join(err, openErr)
	}
	defer file.Close()
	// It ends with 1 where a test failed; the report says which.
	return readJUnit(file)
}

// load brings an image that is one program, at the root, into every node. Clean takes it out again; it is never nil.
func (w *world) load(ctx context.Context, image, program string) (clean func() error, err error) {
	ctr := func(ctx context.Context, node string, stdin io.Reader, args ...string) error {
		_, err := command.Command{Name: "docker", Stdin: stdin, Args: append([]string{"exec", "-i", node, "ctr", "--namespace=k8s.io", "images"}, args...)}.Output(ctx)
		return err
	}
	var loaded []string
	clean = func() error {
		var errs []error
		for _, node := range loaded {
			errs = append(errs, ctr(context.WithoutCancel(ctx), node, nil, "rm", image))
		}
		return errors.Join(errs...)
	}
	archive, err := archiveOf(image, program)
	if err != nil {
		return clean, err
	}
	// A node of kind has the name of its container.
	nodes, err := w.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return clean, err
	}
	for _, n := range nodes.Items {
		if err := ctr(ctx, n.Name, bytes.NewReader(archive.Bytes()), "import", "-"); err != nil {
			return clean, fmt.Errorf("bring %s into %s: %w", image, n.Name, err)
		}
		loaded = append(loaded, n.Name)
	}
	return clean, nil
}

// archiveOf is an image of one program, as `docker save` would write it.
func archiveOf(image, program string) (out bytes.Buffer, err error) {
	tag, err := name.NewTag(image)
	if err != nil {
		return out, err
	}
	files, err := layer.Plain([]layer.Entry{{Path: filepath.Base(program), Mode: 0o755, File: program}})
	if err != nil {
		return out, err
	}
	built, err := layer.Image(files)
	if err != nil {
		return out, err
	}
	config, err := built.ConfigFile()
	if err != nil {
		return out, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Config.Entrypoint = "linux", runtime.GOARCH, []string{"/" + filepath.Base(program)}
	if built, err = mutate.ConfigFile(built, config); err != nil {
		return out, err
	}
	err = tarball.Write(tag, built, &out)
	return out, err
}
