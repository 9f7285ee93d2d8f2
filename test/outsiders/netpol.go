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

// kubernetesTool builds what the module pins, brings the image that a program of it says it runs into each node, as one
// of the programs beside it, and names the program. Clean takes the image out again; it is never nil.
func (w *world) kubernetesTool(ctx context.Context, name string, image ...string) (program string, clean func() error, err error) {
	clean = func() error { return nil }
	if program, err = w.build(ctx, kubernetesTools, name, "tool", "./netpol", "./cyclonus"); err != nil {
		return "", clean, err
	}
	tag, err := command.Output(ctx, program, "--image")
	if err != nil {
		return "", clean, err
	}
	for i := range image {
		image[i] = filepath.Join(filepath.Dir(program), image[i])
	}
	clean, err = w.load(ctx, strings.TrimSpace(string(tag)), image...)
	return program, clean, err
}

// networkPolicies runs Kubernetes' end-to-end tests of network policies in namespaces of their own. The image of their
// pods is built from the same module.
func networkPolicies(ctx context.Context, w *world) (all []result, err error) {
	program, clean, err := w.kubernetesTool(ctx, "netpol", "agnhost")
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
	// It ends with 1 where a test failed; the report says which.
	all, unread := readReport(reports[0])
	if unread != nil {
		return nil, errors.Join(err, unread)
	}
	return all, nil
}

// cyclonus runs what cyclonus generates, in namespaces of its own.
func cyclonus(ctx context.Context, w *world) (all []result, err error) {
	program, clean, err := w.kubernetesTool(ctx, "cyclonus", "agnhost", "worker")
	defer func() { err = errors.Join(err, clean()) }()
	if err != nil {
		return nil, err
	}
	report := filepath.Join(w.temp, "cyclonus.xml")
	_, err = command.Command{
		Name: program, Args: []string{"--junit=" + report}, Env: append(os.Environ(), "KUBECONFIG="+w.which.Kubeconfig()),
	}.Output(ctx)
	if err != nil {
		return nil, err
	}
	return readReport(report)
}

func readReport(name string) ([]result, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readJUnit(file)
}

// load brings an image of programs, at the root, into every node. Clean takes it out again; it is never nil.
func (w *world) load(ctx context.Context, image string, programs ...string) (clean func() error, err error) {
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
	archive, err := archiveOf(image, programs)
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

// archiveOf is an image of programs, as `docker save` would write it; the first is what it runs.
func archiveOf(image string, programs []string) (out bytes.Buffer, err error) {
	tag, err := name.NewTag(image)
	if err != nil {
		return out, err
	}
	var entries []layer.Entry
	for _, program := range programs {
		entries = append(entries, layer.Entry{Path: filepath.Base(program), Mode: 0o755, File: program})
	}
	files, err := layer.Plain(entries)
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
	config.OS, config.Architecture, config.Config.Entrypoint = "linux", runtime.GOARCH, []string{"/" + filepath.Base(programs[0])}
	if built, err = mutate.ConfigFile(built, config); err != nil {
		return out, err
	}
	err = tarball.Write(tag, built, &out)
	return out, err
}
