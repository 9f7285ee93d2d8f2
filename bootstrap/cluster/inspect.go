package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/internal/ui"
)

const (
	kindClusterLabel = "io.x-k8s.kind.cluster"
	kindRoleLabel    = "io.x-k8s.kind.role"
)

// State is what the engine has of a cluster.
type State struct {
	Name     string
	Nodes    []Node // the control plane first: the order in which stopped nodes are started
	Complete bool   // it was created to the end
	Port     int    // of the front door
	StateDir string // where its files lie; empty if it isn't ours

	mirror  *container
	foreign []string // containers of that name that aren't ours
}

// Node is the container of a node.
type Node struct {
	Name    string
	Role    string
	Running bool

	container container
}

// Exists reports whether there is anything of the cluster.
func (s State) Exists() bool { return len(s.Nodes) > 0 || s.mirror != nil || len(s.foreign) > 0 }

// Ours reports whether nothing of that name belongs to somebody else.
func (s State) Ours() bool { return len(s.foreign) == 0 }

// Running reports whether all of the cluster runs.
func (s State) Running() bool {
	stopped := func(n Node) bool { return !n.Running }
	return len(s.Nodes) > 0 && !slices.ContainsFunc(s.Nodes, stopped) && s.mirror != nil && s.mirror.State.Running
}

// Size is how many workers and GPU nodes there are beside the control plane.
func (s State) Size() (workers, gpuNodes int) { return s.count(roleWorker), s.count(roleGPU) }

func (s State) count(role string) int {
	n := 0
	for _, node := range s.Nodes {
		if node.Role == role {
			n++
		}
	}
	return n
}

// containers are all of the cluster's, the mirror last.
func (s State) containers() []container {
	var all []container
	for _, n := range s.Nodes {
		all = append(all, n.container)
	}
	if s.mirror != nil {
		all = append(all, *s.mirror)
	}
	return all
}

func (s State) containerNames() []string {
	var names []string
	for _, c := range s.containers() {
		names = append(names, c.Name)
	}
	return names
}

// Inspect says what there is of a cluster; it changes nothing.
func Inspect(ctx context.Context, name string) (State, error) {
	s := State{Name: name}
	if err := ValidateName(name); err != nil {
		return s, err
	}
	ids, err := docker(ctx, "ps", "-a", "--no-trunc", "--filter", "label="+kindClusterLabel+"="+name, "--format", "{{.ID}}")
	if err != nil {
		return s, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	found, err := inspectContainers(ctx, append(strings.Fields(ids), mirrorName(name))...)
	if err != nil {
		return s, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	s.fill(found)
	if cp := controlPlane(name); slices.Contains(s.containerNames(), cp) {
		// Reads the file system of a stopped container too, unlike exec.
		_, err := docker(ctx, "cp", cp+":"+completeMark, "-")
		if err != nil && !isAbsent(err) {
			return s, fmt.Errorf("look at node %s: %w", cp, err)
		}
		s.Complete = err == nil
	}
	return s, nil
}

func (s *State) fill(containers []container) {
	for _, c := range containers {
		if c.Name == mirrorName(s.Name) {
			if c.Config.Labels[Label] == s.Name {
				s.mirror = &c
			} else {
				s.foreign = append(s.foreign, c.Name)
			}
			continue
		}
		source := c.mount(nodeDir)
		if source == "" {
			s.foreign = append(s.foreign, c.Name)
			continue
		}
		s.StateDir = filepath.Dir(filepath.Dir(source))
		s.Nodes = append(s.Nodes, Node{Name: c.Name, Role: filepath.Base(source), Running: c.State.Running, container: c})
		if c.Config.Labels[kindRoleLabel] == roleControlPlane {
			s.Port = hostPort(c, fmt.Sprintf("%d/tcp", FrontDoorNodePort))
		}
	}
	// kind's names put the control plane before the workers.
	slices.SortFunc(s.Nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(s.foreign)
}

func hostPort(c container, port string) int {
	for _, b := range c.HostConfig.PortBindings[port] {
		if n, err := strconv.Atoi(b.HostPort); err == nil {
			return n
		}
	}
	return 0
}

// Accepts refuses what Ensure can't bring about without destroying something.
func (s State) Accepts(opt Options) error {
	if !s.Ours() {
		return notOurs(s)
	}
	if len(s.Nodes) == 0 {
		return nil
	}
	if s.StateDir != opt.StateDir {
		return ui.Usage(ui.WithHint(fmt.Errorf("cluster %q keeps its files in %s, not in %s", s.Name, s.StateDir, opt.StateDir),
			"run as the user, and with the XDG_STATE_HOME, that made it, or choose another --name"))
	}
	if !s.Complete {
		return nil // made anew in any case
	}
	for _, f := range []struct {
		flag     string
		is, want int
	}{
		{"--port", s.Port, opt.Port},
		{"--workers", s.count(roleWorker), opt.Workers},
		{"--gpu-nodes", s.count(roleGPU), opt.GPUNodes},
	} {
		if f.is != f.want {
			err := fmt.Errorf("cluster %q runs with %s %d: it can't become %d while it exists", s.Name, f.flag, f.is, f.want)
			return ui.Usage(ui.WithHint(err, fmt.Sprintf("run with %s %d, or `druppie-up down --name %s` first: that removes the cluster with all that is in it", f.flag, f.is, s.Name)))
		}
	}
	return nil
}

func notOurs(s State) error {
	return ui.Usage(ui.WithHint(fmt.Errorf("container %s is there already and druppie-up didn't make it", s.foreign[0]),
		"choose another name with --name; nothing has been changed"))
}
