package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/internal/capability"
)

// Label and resource of GPU nodes.
const (
	GPULabel      = "druppie.io/gpu"
	GPULabelValue = "simulated"
	GPUResource   = "nvidia.com/gpu"
)

// Roles of nodes, as their mounts and State name them.
const (
	roleControlPlane = "control-plane"
	roleWorker       = "worker"
	roleGPU          = "gpu"
)

// limits are what this machine's engine and kernel impose on the nodes.
type limits struct {
	// CgroupV1: by default the kubelet refuses to start on it.
	CgroupV1 bool
	// NoSysResource: containers can't have CAP_SYS_RESOURCE, so nothing in
	// a node may lower its OOM score or raise limits.
	NoSysResource bool
}

func hostLimits(ctx context.Context) limits {
	var lim limits
	if out, err := docker(ctx, "info", "--format", "{{.CgroupVersion}}"); err == nil {
		lim.CgroupV1 = strings.TrimSpace(out) == "1"
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		// What this process lacks, none on this machine can give to a container.
		missing, err := capability.Missing(string(status), capability.Last)
		lim.NoSysResource = err == nil && slices.Contains(missing, capability.SysResource)
	}
	return lim
}

// kindConfig is the configuration that kind gets, as YAML.
func kindConfig(opt Options, lim limits) ([]byte, error) {
	apiServerPatch, err := yaml.Marshal(map[string]any{
		"kind": "ClusterConfiguration", "apiServer": map[string]any{"extraArgs": auditArguments(), "extraVolumes": auditMounts()},
	})
	if err != nil {
		return nil, fmt.Errorf("kind configuration: %w", err)
	}
	c := v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Name:     opt.Name,
		Networking: v1alpha4.Networking{
			IPFamily:         v1alpha4.IPv4Family,
			APIServerAddress: "127.0.0.1",
			// The registry's fixed address is in the part of this subnet that
			// Kubernetes doesn't assign by itself.
			ServiceSubnet: "10.96.0.0/16",
			PodSubnet:     "10.244.0.0/16",
			// One network on every node, whichever image it has: it tells what it refuses.
			DisableDefaultCNI: true,
		},
		KubeadmConfigPatches:    []string{kubeletPatch(lim), controlPlanePatch, string(apiServerPatch)},
		ContainerdConfigPatches: containerdPatches(lim),
	}
	node := func(kindRole v1alpha4.NodeRole, role string) v1alpha4.Node {
		return v1alpha4.Node{Role: kindRole, Image: opt.NodeImage, ExtraMounts: mounts(opt.StateDir, role)}
	}
	first := node(v1alpha4.ControlPlaneRole, roleControlPlane)
	first.ExtraPortMappings = []v1alpha4.PortMapping{{
		ContainerPort: FrontDoorNodePort,
		HostPort:      int32(opt.Port),
		ListenAddress: "127.0.0.1",
		Protocol:      v1alpha4.PortMappingProtocolTCP,
	}}
	if opt.Workers+opt.GPUNodes > 0 {
		// kind removes the control plane's taint only in a cluster of one node.
		// On one machine the control plane can run pods in any case, and beside
		// GPU nodes alone no other node would take them.
		first.KubeadmConfigPatches = []string{"kind: InitConfiguration\nnodeRegistration:\n  taints: []\n"}
	}
	c.Nodes = append(c.Nodes, first)
	for range opt.Workers {
		c.Nodes = append(c.Nodes, node(v1alpha4.WorkerRole, roleWorker))
	}
	for range opt.GPUNodes {
		gpu := node(v1alpha4.WorkerRole, roleGPU)
		gpu.Labels = map[string]string{GPULabel: GPULabelValue, GPUResource + ".present": "true"}
		gpu.KubeadmConfigPatches = []string{fmt.Sprintf(
			"kind: JoinConfiguration\nnodeRegistration:\n  taints:\n  - key: %s\n    value: present\n    effect: NoSchedule\n", GPUResource)}
		c.Nodes = append(c.Nodes, gpu)
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("kind configuration: %w", err)
	}
	return data, nil
}

// What the nodes mount, and where. kind can't put our label on its containers:
// by these mounts a cluster is recognised as ours, and the role of a node.
const (
	nodeDir      = "/etc/druppie"
	nodeCerts    = "/etc/containerd/certs.d"
	completeMark = "/kind/druppie-complete"
)

func mounts(stateDir, role string) []v1alpha4.Mount {
	return []v1alpha4.Mount{
		{HostPath: filepath.Join(stateDir, "nodes", "certs.d"), ContainerPath: nodeCerts, Readonly: true},
		{HostPath: filepath.Join(stateDir, "nodes", role), ContainerPath: nodeDir, Readonly: true},
	}
}

// controlPlanePatch: with one control plane there is no leader to elect, and no
// lease is written every two seconds.
const controlPlanePatch = `kind: ClusterConfiguration
controllerManager:
  extraArgs: [{name: leader-elect, value: "false"}]
scheduler:
  extraArgs: [{name: leader-elect, value: "false"}]
`

func kubeletPatch(lim limits) string {
	var b strings.Builder
	// The images come from a mirror on this machine: a limit on pulls only
	// makes starts slow.
	b.WriteString("kind: KubeletConfiguration\nserializeImagePulls: false\nmaxParallelImagePulls: 3\nregistryPullQPS: 0\n")
	if lim.CgroupV1 {
		b.WriteString("failCgroupV1: false\n")
	}
	if lim.NoSysResource {
		b.WriteString("featureGates:\n  KubeletInUserNamespace: true\n")
	}
	return b.String()
}

// containerdPatches come once for each version of containerd's configuration;
// kind applies the one that fits the node's.
func containerdPatches(lim limits) []string {
	patch := func(version int, images, runtime string) string {
		s := fmt.Sprintf("version = %d\n[plugins.%q.registry]\n  config_path = %q\n", version, images, nodeCerts)
		if lim.NoSysResource {
			s += fmt.Sprintf("[plugins.%q]\n  restrict_oom_score_adj = true\n", runtime)
		}
		return s
	}
	return []string{
		patch(2, "io.containerd.grpc.v1.cri", "io.containerd.grpc.v1.cri"),
		patch(3, "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"),
	}
}
