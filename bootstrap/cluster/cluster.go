// Package cluster makes the machine's Kubernetes: it drives kind as a library
// and adds what kind leaves open, the mirror that serves the store to the nodes
// and simulated GPU nodes. It owns the containers of a cluster, kind's network
// where it made it, and the files that the nodes mount. It refuses to touch a
// cluster that it didn't make, and installs nothing into the cluster.
package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// Label marks everything that is made here; its value is the cluster's name.
const Label = "io.druppie.cluster"

// FrontDoorNodePort is where the front door's Service listens on the nodes.
const FrontDoorNodePort = 30443

// Options say which cluster there should be.
type Options struct {
	Name      string
	Workers   int    // workers beside the control plane
	GPUNodes  int    // workers that advertise simulated GPUs
	NodeImage string // the image of the nodes, a reference in Store
	Port      int    // the front door, on 127.0.0.1
	StateDir  string // absolute; kubeconfig, the platform's CA and what the nodes mount
	Store     *store.Store
}

// ValidateName says whether a cluster can have this name: containers, hosts
// and folders are called after it.
func ValidateName(name string) error {
	if names.IsPlatform(name) {
		return nil
	}
	return ui.Usage(ui.WithHint(fmt.Errorf("%q can't be a cluster's name", name), "use "+names.PlatformRule))
}

func (o Options) validate() error {
	if err := ValidateName(o.Name); err != nil {
		return err
	}
	if o.Workers < 0 || o.GPUNodes < 0 {
		return ui.Usage(fmt.Errorf("%d workers, %d GPU nodes: a number of nodes can't be negative", o.Workers, o.GPUNodes))
	}
	if o.Port < 1 || o.Port > 65535 {
		return ui.Usage(fmt.Errorf("port %d: a port lies between 1 and 65535", o.Port))
	}
	return nil
}

// Kubeconfig is where the cluster's own kubeconfig lies below a state folder.
func Kubeconfig(stateDir string) string { return filepath.Join(stateDir, "kubeconfig") }

// Ensure creates the cluster, replaces one that an interrupted run left
// incomplete, starts nodes that are stopped, or finds that nothing is to be
// done. It returns a client when the API server is ready; nodes become Ready
// only with a network, which is the caller's to install.
func Ensure(ctx context.Context, opt Options, task ui.Task) (*kube.Client, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	state, err := Inspect(ctx, opt.Name)
	if err != nil {
		return nil, err
	}
	if err := state.Accepts(opt); err != nil {
		return nil, err
	}
	if err := writeNodeFiles(opt); err != nil {
		return nil, err
	}
	r := &run{opt: opt, task: task}
	if err := r.ensureMirror(ctx, state.mirror); err != nil {
		return nil, err
	}
	started, err := r.ensureNodes(ctx, state)
	if err != nil {
		return nil, err
	}
	if err := r.exportKubeconfig(started); err != nil {
		return nil, err
	}
	if err := r.ensureAuditLog(ctx); err != nil {
		return nil, err
	}
	client, err := r.waitAPI(ctx)
	if err != nil {
		return nil, err
	}
	if started {
		if err := r.checkMirror(ctx); err != nil {
			return nil, err
		}
	}
	// An image that a container still uses stays until that container is gone.
	for _, id := range r.replaced {
		_, _ = docker(ctx, "rmi", id)
	}
	return client, nil
}

// run is one call of Ensure.
type run struct {
	opt  Options
	task ui.Task

	replaced []string // ids of older versions of our images
}

// ensureNodes reports whether any node was created or started.
func (r *run) ensureNodes(ctx context.Context, state State) (started bool, err error) {
	if len(state.Nodes) == 0 || !state.Complete {
		if _, err := r.loadImage(ctx, r.opt.NodeImage); err != nil {
			return false, err
		}
		if err := r.removeIncomplete(ctx); err != nil {
			return false, err
		}
		err := r.create(ctx)
		if err != nil && strings.Contains(err.Error(), "already") && ui.ExitCode(err) != 2 {
			// A node that an interrupted run had asked the engine for may
			// turn up after we looked.
			if err := r.removeIncomplete(ctx); err != nil {
				return false, err
			}
			err = r.create(ctx)
		}
		return true, err
	}
	for _, n := range state.Nodes {
		if n.Running {
			continue
		}
		r.task.Detail("starting node %s", n.Name)
		if _, err := docker(ctx, "start", n.Name); err != nil {
			return started, r.explainNode(ctx, fmt.Errorf("start node %s: %w", n.Name, err))
		}
		started = true
	}
	return started, nil
}

// removeIncomplete removes the nodes of a run that was interrupted. Nothing is
// installed in a cluster before it is marked as complete, so there is nothing
// to lose, and kubeadm can't be continued halfway.
func (r *run) removeIncomplete(ctx context.Context) error {
	state, err := Inspect(ctx, r.opt.Name)
	if err != nil {
		return err
	}
	if !state.Ours() {
		return notOurs(state)
	}
	if len(state.Nodes) == 0 || state.Complete {
		return nil
	}
	r.task.Detail("removing what an interrupted run left")
	state.mirror = nil // stays
	return removeContainers(ctx, state.containerNames()...)
}

func (r *run) create(ctx context.Context) error {
	config, err := kindConfig(r.opt, hostLimits(ctx))
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.kindCreate(ctx, config); err != nil {
		return err
	}
	if _, err := docker(ctx, "exec", controlPlane(r.opt.Name), "touch", completeMark); err != nil {
		return fmt.Errorf("mark the cluster as complete: %w", err)
	}
	r.task.Detail("Kubernetes answers after %s", time.Since(start).Round(time.Second))
	return nil
}

func controlPlane(name string) string { return name + "-control-plane" }

// imagesFile lists the images that were loaded into the engine for this
// cluster: an image bears no label of ours, so nothing else would tell.
func imagesFile(stateDir string) string { return filepath.Join(stateDir, "images") }

func recordImage(stateDir, ref string) error {
	known, err := loadedImages(stateDir)
	if err != nil || slices.Contains(known, ref) {
		return err
	}
	data := strings.Join(append(known, ref), "\n") + "\n"
	if err := writeFileAtomic(imagesFile(stateDir), []byte(data)); err != nil {
		return fmt.Errorf("record image %s: %w", ref, err)
	}
	return nil
}

func loadedImages(stateDir string) ([]string, error) {
	data, err := readIfThere(imagesFile(stateDir))
	if err != nil {
		return nil, fmt.Errorf("loaded images: %w", err)
	}
	return strings.Fields(string(data)), nil
}

// readIfThere reads a file; one that isn't there is empty.
func readIfThere(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil, nil
	}
	return data, err
}

func writeFileAtomic(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && string(old) == string(data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}
