package modules

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/supply/layer"
)

// builtPrefix marks a path among what a source's build left.
const builtPrefix = "out:"

// debianPrefix marks a file of the root file system that is put at another path.
const debianPrefix = "debian:"

// generate makes content that comes out of a program of the image itself.
func (a *assembly) generate(ctx context.Context, f component.Content, e layer.Entry) ([]layer.Entry, error) {
	if name, ok := strings.CutPrefix(f.Generate, debianPrefix); ok {
		data, err := readFromTar(a.root.tar, name)
		e.Data = data
		return []layer.Entry{e}, err
	}
	switch f.Generate {
	case "cri-base":
		return a.criBase(ctx, e)
	case "busybox":
		return a.busybox(ctx, e)
	}
	return nil, fmt.Errorf("nothing known makes %q", f.Generate)
}

// criBase is the runtime specification that kind's containerd starts every
// container from: containerd's default, with kind's hook and without limits.
func (a *assembly) criBase(ctx context.Context, e layer.Entry) ([]layer.Entry, error) {
	ctr, err := a.binary(ctx, "ctr")
	if err != nil {
		return nil, err
	}
	out, err := a.b.tool(ctx, "", nil, ctr, "oci", "spec")
	if err != nil {
		return nil, err
	}
	e.Data, err = editSpec(out)
	return []layer.Entry{e}, err
}

func editSpec(raw []byte) ([]byte, error) {
	var spec map[string]any
	if err := json.Unmarshal(raw, &spec); err != nil {
		return nil, fmt.Errorf("runtime specification: %w", err)
	}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("runtime specification: no process")
	}
	delete(process, "rlimits")
	hooks, ok := spec["hooks"].(map[string]any)
	if !ok {
		hooks = map[string]any{}
		spec["hooks"] = hooks
	}
	create, _ := hooks["createContainer"].([]any)
	hooks["createContainer"] = append(create, map[string]any{"path": "/kind/bin/mount-product-files.sh"})
	return json.MarshalIndent(spec, "", "  ")
}

// busybox makes a link for each of the programs that busybox is.
func (a *assembly) busybox(ctx context.Context, e layer.Entry) ([]layer.Entry, error) {
	prog, err := readFromTar(a.root.tar, "usr/bin/busybox")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(a.tmp, "busybox")
	if err := os.WriteFile(file, prog, 0o755); err != nil {
		return nil, err
	}
	out, err := a.b.tool(ctx, "", nil, file, "--list")
	if err != nil {
		return nil, err
	}
	var links []layer.Entry
	for _, applet := range strings.Fields(string(out)) {
		if applet == "busybox" {
			continue
		}
		links = append(links, layer.Entry{Path: path.Join(e.Path, applet), Link: "busybox"})
	}
	return links, nil
}

// ownersOf finds the packages that files belong to, from dpkg's lists.
func ownersOf(tarFile string, files map[string]bool) (map[string]bool, error) {
	owners := map[string]bool{}
	err := eachInTar(tarFile, func(h *tar.Header, body io.Reader) error {
		name, ok := strings.CutPrefix(h.Name, "var/lib/dpkg/info/")
		if !ok || !strings.HasSuffix(name, ".list") {
			return nil
		}
		pkg, _, _ := strings.Cut(strings.TrimSuffix(name, ".list"), ":")
		data, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			p := strings.TrimPrefix(strings.TrimRight(line, "\r\n"), "/")
			// /lib and /bin are links into /usr in a merged file system.
			if strings.Count(p, "/") >= 2 && (files[p] || files["usr/"+p]) {
				owners[pkg] = true
			}
		}
		return nil
	})
	return owners, err
}
