package cluster

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strconv"

	"github.com/druppie/druppie-up/internal/ui"
)

const (
	kindClusterLabel = "io.x-k8s.kind.cluster"
	kindRoleLabel    = "io.x-k8s.kind.role"
)

// State is what the engine has of a cluster.
type State struct {
	Name     string `json:"name"`
	Nodes    []Node `json:"nodes"`
	Mirror   *Node  `json:"mirror,omitempty"`
	Complete bool   `json:"complete"` // creating it once ended well
	Port     int    `json:"port"`     // of the front door
	APIPort  int    `json:"apiPort"`
	StateDir string `json:"stateDir"` // where its files lie; empty if it isn't ours

	foreign []string // containers of that name that aren't ours
}

// Node is one container of a cluster.
type Node struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Image   string `json:"image"`
	Running bool   `json:"running"`
	Status  string `json:"status"`
	IP      string `json:"ip,omitempty"`
}

// Exists reports whether there is anything of the cluster.
func (s State) Exists() bool { return len(s.Nodes) > 0 || s.Mirror != nil || len(s.foreign) > 0 }

// Ours reports whether nothing of that name belongs to somebody else.
func (s State) Ours() bool { return len(s.foreign) == 0 }

// Running reports whether all of the cluster runs.
func (s State) Running() bool {
	for _, n := range s.Nodes {
		if !n.Running {
			return false
		}
	}
	return len(s.Nodes) > 0 && s.Mirror != nil && s.Mirror.Running
}

// Count returns the number of nodes of a role.
func (s State) count(role string) int {
	n := 0
	for _, node := range s.Nodes {
		if node.Role == role {
			n++
		}
	}
	return n
}

func (s State) containers() []string {
	var out []string
	for _, n := range s.Nodes {
		out = append(out, n.Name)
	}
	return out
}

// Inspect says what there is of a cluster; it changes nothing.
func Inspect(ctx context.Context, name string) (State, error) {
	if err := ValidateName(name); err != nil {
		return State{}, err
	}
	return inspect(ctx, engine{}, name)
}

func inspect(ctx context.Context, e engine, name string) (State, error) {
	s := State{Name: name}
	nodes, err := e.byLabel(ctx, kindClusterLabel+"="+name)
	if err != nil {
		return s, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	mirrors, err := e.inspect(ctx, mirrorName(name))
	if err != nil {
		return s, fmt.Errorf("look for cluster %s: %w", name, err)
	}
	s.fill(nodes, mirrors)
	if cp := controlPlane(name); s.has(cp) {
		// Reads the file system of a stopped container too, unlike exec.
		_, err := e.docker(ctx, "cp", cp+":"+completeMark, "-")
		if err != nil && !isAbsent(err) {
			return s, fmt.Errorf("look at node %s: %w", cp, err)
		}
		s.Complete = err == nil
	}
	return s, nil
}

func (s State) has(node string) bool {
	for _, n := range s.Nodes {
		if n.Name == node {
			return true
		}
	}
	return false
}

func (s *State) fill(nodes, mirrors []container) {
	for _, c := range nodes {
		source := c.mount(nodeDir)
		if source == "" {
			s.foreign = append(s.foreign, c.Name)
			continue
		}
		n := node(c)
		n.Role = filepath.Base(source)
		s.StateDir = filepath.Dir(filepath.Dir(source))
		s.Nodes = append(s.Nodes, n)
		if c.Config.Labels[kindRoleLabel] == roleControlPlane {
			s.Port = hostPort(c, fmt.Sprintf("%d/tcp", FrontDoorNodePort))
			s.APIPort = hostPort(c, "6443/tcp")
		}
	}
	// The control plane first: the order in which stopped nodes are started.
	sort.Slice(s.Nodes, func(i, j int) bool {
		a, b := s.Nodes[i], s.Nodes[j]
		if (a.Role == roleControlPlane) != (b.Role == roleControlPlane) {
			return a.Role == roleControlPlane
		}
		return a.Name < b.Name
	})
	for _, c := range mirrors {
		if c.Config.Labels[Label] != s.Name {
			s.foreign = append(s.foreign, c.Name)
			continue
		}
		n := node(c)
		n.Role = "mirror"
		s.Mirror = &n
	}
	sort.Strings(s.foreign)
}

func node(c container) Node {
	return Node{
		Name: c.Name, Image: c.Config.Image, Running: c.State.Running, Status: c.State.Status,
		IP: c.NetworkSettings.Networks[network].IPAddress,
	}
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
		return foreign(s)
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
	changed := func(flag string, is, want int) error {
		return ui.Usage(ui.WithHint(fmt.Errorf("cluster %q runs with %s %d: it can't become %d while it exists", s.Name, flag, is, want),
			fmt.Sprintf("run with %s %d, or `druppie-up down --name %s` first: that removes the cluster with all that is in it", flag, is, s.Name)))
	}
	switch {
	case s.Port != opt.Port:
		return changed("--port", s.Port, opt.Port)
	case s.count(roleWorker) != opt.Workers:
		return changed("--workers", s.count(roleWorker), opt.Workers)
	case s.count(roleGPU) != opt.GPUNodes:
		return changed("--gpu-nodes", s.count(roleGPU), opt.GPUNodes)
	}
	return nil
}

func foreign(s State) error {
	return ui.Usage(ui.WithHint(fmt.Errorf("container %s is there already and druppie-up didn't make it", s.foreign[0]),
		"choose another name with --name; nothing has been changed"))
}
