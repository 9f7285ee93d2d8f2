package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// GPU nodes say who they are by these.
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

// facts are what this machine's engine and kernel impose on the nodes.
type facts struct {
	// CgroupV1: the kubelet refuses to start on it unless told otherwise.
	CgroupV1 bool
	// NoSysResource: containers can't have CAP_SYS_RESOURCE, so nothing in
	// a node may lower its OOM score or raise limits.
	NoSysResource bool
}

func hostFacts(ctx context.Context, e engine) facts {
	var f facts
	if out, err := e.docker(ctx, "info", "--format", "{{.CgroupVersion}}"); err == nil {
		f.CgroupV1 = strings.TrimSpace(out) == "1"
	}
	if data, err := os.ReadFile("/proc/self/status"); err == nil {
		f.NoSysResource = lacksSysResource(string(data))
	}
	return f
}

// lacksSysResource reads the bounding set out of a /proc status file: what it
// lacks, no process on this machine can give to a container.
func lacksSysResource(status string) bool {
	const capSysResource = 24
	for _, line := range strings.Split(status, "\n") {
		hex, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		return err == nil && set&(1<<capSysResource) == 0
	}
	return false
}

// kindConfig is the configuration that kind gets, as YAML.
func kindConfig(opt Options, f facts) ([]byte, error) {
	c := v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{Kind: "Cluster", APIVersion: "kind.x-k8s.io/v1alpha4"},
		Name:     opt.Name,
		Networking: v1alpha4.Networking{
			IPFamily:         v1alpha4.IPv4Family,
			APIServerAddress: "127.0.0.1",
			// The registry's fixed address lies in the band of this subnet
			// that Kubernetes never hands out by itself.
			ServiceSubnet:     "10.96.0.0/16",
			PodSubnet:         "10.244.0.0/16",
			DisableDefaultCNI: !opt.BuiltinCNI,
		},
		KubeadmConfigPatches:    []string{kubeletPatch(f), controlPlanePatch},
		ContainerdConfigPatches: containerdPatches(f),
	}
	c.Nodes = append(c.Nodes, v1alpha4.Node{
		Role:        v1alpha4.ControlPlaneRole,
		Image:       opt.NodeImage,
		ExtraMounts: mounts(opt.StateDir, roleControlPlane),
		ExtraPortMappings: []v1alpha4.PortMapping{{
			ContainerPort: FrontDoorNodePort,
			HostPort:      int32(opt.Port),
			ListenAddress: "127.0.0.1",
			Protocol:      v1alpha4.PortMappingProtocolTCP,
		}},
	})
	if opt.Workers+opt.GPUNodes > 0 {
		// kind takes the control plane's taint away only where it stands
		// alone, but on one machine it has room for pods in any case, and
		// beside GPU nodes alone there would be none.
		c.Nodes[0].KubeadmConfigPatches = []string{"kind: InitConfiguration\nnodeRegistration:\n  taints: []\n"}
	}
	for range opt.Workers {
		c.Nodes = append(c.Nodes, v1alpha4.Node{
			Role: v1alpha4.WorkerRole, Image: opt.NodeImage, ExtraMounts: mounts(opt.StateDir, roleWorker),
		})
	}
	for range opt.GPUNodes {
		c.Nodes = append(c.Nodes, v1alpha4.Node{
			Role: v1alpha4.WorkerRole, Image: opt.NodeImage, ExtraMounts: mounts(opt.StateDir, roleGPU),
			Labels: map[string]string{GPULabel: GPULabelValue, GPUResource + ".present": "true"},
			KubeadmConfigPatches: []string{fmt.Sprintf(
				"kind: JoinConfiguration\nnodeRegistration:\n  taints:\n  - key: %s\n    value: present\n    effect: NoSchedule\n", GPUResource)},
		})
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("kind configuration: %w", err)
	}
	return data, nil
}

// What the nodes mount, and where. kind can't put our label on its containers:
// these mounts are how a cluster is known as ours, and what a node is for.
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

// controlPlanePatch: there is one control plane, so nobody stands for election, and
// no lease is written every two seconds.
const controlPlanePatch = `kind: ClusterConfiguration
controllerManager:
  extraArgs: [{name: leader-elect, value: "false"}]
scheduler:
  extraArgs: [{name: leader-elect, value: "false"}]
`

func kubeletPatch(f facts) string {
	var b strings.Builder
	// The images come from a mirror on this machine: a limit on pulls only
	// makes starts slow.
	b.WriteString("kind: KubeletConfiguration\nserializeImagePulls: false\nmaxParallelImagePulls: 3\nregistryPullQPS: 0\n")
	if f.CgroupV1 {
		b.WriteString("failCgroupV1: false\n")
	}
	if f.NoSysResource {
		b.WriteString("featureGates:\n  KubeletInUserNamespace: true\n")
	}
	return b.String()
}

// containerdPatches come once for each version of containerd's configuration;
// kind applies the one that fits the node's.
func containerdPatches(f facts) []string {
	patch := func(version int, images, runtime string) string {
		s := fmt.Sprintf("version = %d\n[plugins.%q.registry]\n  config_path = %q\n", version, images, nodeCerts)
		if f.NoSysResource {
			s += fmt.Sprintf("[plugins.%q]\n  restrict_oom_score_adj = true\n", runtime)
		}
		return s
	}
	return []string{
		patch(2, "io.containerd.grpc.v1.cri", "io.containerd.grpc.v1.cri"),
		patch(3, "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"),
	}
}
