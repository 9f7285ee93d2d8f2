// Package render turns components into the Kubernetes objects that would be
// applied: upstream's own manifests with our kustomization beside them, our
// Helm charts, and every image pinned to the digest that the store holds. It
// owns no policy about order or waiting, refuses anything remote (a resource
// with a URL is an error), and never talks to a cluster.
package render

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// upstreamDir is where a component's upstream files stand beside its
// kustomization while it is built.
const upstreamDir = "upstream"

// Kustomize builds the kustomization at the root of ours, with upstream's files
// (may be nil) under upstream/<module path>/, and returns one YAML stream.
// Variables of the form ${name} in ours are replaced from vars first.
func Kustomize(ours, upstream fs.FS, vars map[string]string) ([]byte, error) {
	mem := filesys.MakeFsInMemory()
	if err := copyInto(mem, ours, ".", vars); err != nil {
		return nil, err
	}
	if upstream != nil {
		if err := copyInto(mem, upstream, upstreamDir, nil); err != nil {
			return nil, err
		}
	}
	opts := krusty.MakeDefaultOptions()
	opts.LoadRestrictions = types.LoadRestrictionsRootOnly
	resources, err := krusty.MakeKustomizer(opts).Run(mem, ".")
	if err != nil {
		return nil, fmt.Errorf("kustomize: %w", err)
	}
	out, err := resources.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("encode kustomized objects: %w", err)
	}
	return out, nil
}

// copyInto copies the regular files of src below dir in mem, with vars replaced.
func copyInto(mem filesys.FileSystem, src fs.FS, dir string, vars map[string]string) error {
	return fs.WalkDir(src, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := fs.ReadFile(src, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		return mem.WriteFile(path.Join(dir, name), Substitute(data, vars))
	})
}

// Substitute replaces ${name} by vars[name]; a value of several lines keeps the
// indentation of the line it stands in, so that a PEM fits a YAML block.
// Names that vars lacks are left as they are (Tekton and Kyverno have
// variables of their own).
func Substitute(data []byte, vars map[string]string) []byte {
	if len(vars) == 0 {
		return data
	}
	lines := strings.SplitAfter(string(data), "\n")
	for i, line := range lines {
		if !strings.Contains(line, "${") {
			continue
		}
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		for name, value := range vars {
			value = strings.ReplaceAll(strings.TrimRight(value, "\n"), "\n", "\n"+indent)
			line = strings.ReplaceAll(line, "${"+name+"}", value)
		}
		lines[i] = line
	}
	return []byte(strings.Join(lines, ""))
}

// Chart renders a Helm chart, found at the root of chart, the way
// `helm template` does.
func Chart(chart fs.FS, release, namespace string, values map[string]any) ([]byte, error) {
	var files []*loader.BufferedFile
	err := fs.WalkDir(chart, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(chart, name)
		if err != nil {
			return err
		}
		files = append(files, &loader.BufferedFile{Name: name, Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read chart %s: %w", release, err)
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("load chart %s: %w", release, err)
	}
	install := action.NewInstall(&action.Configuration{})
	install.ReleaseName, install.Namespace = release, namespace
	install.DryRun, install.ClientOnly, install.IncludeCRDs = true, true, true
	install.KubeVersion = &chartutil.KubeVersion{Version: "v1.36.0", Major: "1", Minor: "36"}
	rel, err := install.Run(loaded, values)
	if err != nil {
		return nil, fmt.Errorf("render chart %s: %w", release, err)
	}
	return []byte(rel.Manifest), nil
}
