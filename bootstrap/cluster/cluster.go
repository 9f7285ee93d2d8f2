// Package cluster makes the machine's Kubernetes: it drives kind as a library
// and adds what kind leaves open, the mirror that serves the store to the nodes
// and simulated GPU nodes. It owns the containers of a cluster, kind's network
// where it made it, and the files that the nodes mount. It refuses to touch a
// cluster that it didn't make, and installs nothing into the cluster.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	Name        string
	Workers     int    // workers beside the control plane
	GPUNodes    int    // workers that advertise simulated GPUs
	NodeImage   string // the image of the nodes, a reference in Store
	MirrorImage string // empty: our own
	BuiltinCNI  bool   // NodeImage brings kindnetd and kind installs it
	Port        int    // the front door, on 127.0.0.1
	StateDir    string // kubeconfig and what the nodes mount
	CAFile      string // the platform's CA, for the nodes; may be empty
	Store       *store.Store
}

// ValidateName says whether a cluster can have this name: containers, hosts
// and folders are called after it.
func ValidateName(name string) error {
	if names.IsPlatform(name) {
		return nil
	}
	return ui.Usage(ui.WithHint(fmt.Errorf("%q can't be a cluster's name", name),
		"use "+names.PlatformRule))
}

func (o Options) complete() (Options, error) {
	if err := ValidateName(o.Name); err != nil {
		return o, err
	}
	if o.Workers < 0 || o.GPUNodes < 0 {
		return o, ui.Usage(fmt.Errorf("%d workers, %d GPU nodes: a number of nodes can't be negative", o.Workers, o.GPUNodes))
	}
	if o.Port < 1 || o.Port > 65535 {
		return o, ui.Usage(fmt.Errorf("port %d: a port lies between 1 and 65535", o.Port))
	}
	if o.MirrorImage == "" {
		o.MirrorImage = names.OwnImage("mirror")
	}
	if o.NodeImage == "" || o.Store == nil || o.StateDir == "" {
		return o, errors.New("cluster: options lack a node image, a store or a state folder")
	}
	dir, err := filepath.Abs(o.StateDir)
	if err != nil {
		return o, fmt.Errorf("state folder: %w", err)
	}
	o.StateDir = dir
	return o, nil
}

// Kubeconfig is where the cluster's own kubeconfig lies below a state folder.
func Kubeconfig(stateDir string) string { return filepath.Join(stateDir, "kubeconfig") }

// Ensure brings the cluster about: makes it, completes what an interrupted run
// left, starts what stands still, or finds that nothing is to be done. It
// returns when the API answers; nodes become ready only with a network, which
// is the caller's to install.
func Ensure(ctx context.Context, opt Options, task ui.Task) (kubeconfig string, err error) {
	opt, err = opt.complete()
	if err != nil {
		return "", err
	}
	e := engine{}
	state, err := inspect(ctx, e, opt.Name)
	if err != nil {
		return "", err
	}
	if err := state.Accepts(opt); err != nil {
		return "", err
	}
	if err := writeNodeFiles(opt); err != nil {
		return "", err
	}
	r := &run{engine: e, opt: opt, task: task}
	if err := r.ensureMirror(ctx); err != nil {
		return "", err
	}
	moved, err := r.ensureNodes(ctx, state)
	if err != nil {
		return "", err
	}
	if err := r.exportKubeconfig(moved); err != nil {
		return "", err
	}
	if err := r.waitAPI(ctx); err != nil {
		return "", err
	}
	if moved {
		if err := r.checkMirror(ctx); err != nil {
			return "", err
		}
	}
	r.removeReplaced(ctx)
	return Kubeconfig(opt.StateDir), nil
}

// run is one call of Ensure.
type run struct {
	engine engine
	opt    Options
	task   ui.Task

	replaced []string // images that lost their name to a newer one
}

// ensureNodes reports whether any node was made or started.
func (r *run) ensureNodes(ctx context.Context, state State) (moved bool, err error) {
	if len(state.Nodes) == 0 || !state.Complete {
		if err := r.loadImage(ctx, r.opt.NodeImage); err != nil {
			return false, err
		}
		if err := r.removeHalf(ctx); err != nil {
			return false, err
		}
		err := r.create(ctx)
		if err != nil && strings.Contains(err.Error(), "already") && ui.ExitCode(err) != 2 {
			// A node that an interrupted run had asked the engine for may
			// turn up after we looked.
			if err := r.removeHalf(ctx); err != nil {
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
		if err := r.engine.start(ctx, n.Name); err != nil {
			return moved, r.explainStart(ctx, err, n.Name)
		}
		moved = true
	}
	return moved, nil
}

// removeHalf removes nodes of a run that didn't come to its end. Nothing was
// installed before the mark was set, so there is nothing to lose, and half a
// run of kubeadm can't be continued.
func (r *run) removeHalf(ctx context.Context) error {
	state, err := inspect(ctx, r.engine, r.opt.Name)
	if err != nil {
		return err
	}
	if !state.Ours() {
		return foreign(state)
	}
	if len(state.Nodes) == 0 || state.Complete {
		return nil
	}
	r.task.Detail("removing what an interrupted run left")
	return r.engine.remove(ctx, state.containers()...)
}

// loadImage gives the engine an image of the store, and notes that it does.
func (r *run) loadImage(ctx context.Context, ref string) error {
	return r.engine.ensureImage(ctx, r.opt.Store, ref, func(old string) error {
		r.task.Detail("loading image %s into the engine", ref)
		known, err := loadedImages(r.opt.StateDir)
		if err != nil {
			return err
		}
		if old != "" && slices.Contains(known, ref) {
			r.replaced = append(r.replaced, old)
		}
		return noteImage(r.opt.StateDir, ref)
	})
}

// removeReplaced frees what older versions of our images take up. One that a
// container still uses stays until that container is gone.
func (r *run) removeReplaced(ctx context.Context) {
	for _, id := range r.replaced {
		_, _ = r.engine.docker(ctx, "rmi", id)
	}
}

func (r *run) create(ctx context.Context) error {
	config, err := kindConfig(r.opt, hostFacts(ctx, r.engine))
	if err != nil {
		return err
	}
	start := time.Now()
	if err := r.kindCreate(ctx, config); err != nil {
		return err
	}
	if err := r.engine.exec(ctx, controlPlane(r.opt.Name), "touch", completeMark); err != nil {
		return fmt.Errorf("mark the cluster as complete: %w", err)
	}
	r.task.Detail("Kubernetes answers after %s", time.Since(start).Round(time.Second))
	return nil
}

func controlPlane(name string) string { return name + "-control-plane" }

func writeFileAtomic(name string, data []byte, mode os.FileMode) error {
	old, err := os.ReadFile(name)
	if err == nil && string(old) == string(data) {
		return nil
	}
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}
