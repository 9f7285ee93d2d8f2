package cluster

import (
	"context"
	_ "embed" // of the policy
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"
)

// auditPolicy says what the API server's audit log holds. The API server reads it when it starts.
//
//go:embed audit-policy.yaml
var auditPolicy []byte

const (
	auditPolicyFile = nodeDir + "/audit-policy.yaml"
	auditLogDir     = "/var/log/kubernetes/audit"
	auditLogFile    = auditLogDir + "/audit.log"
)

// argument is one of a control plane component's, as kubeadm.k8s.io/v1beta4 has them.
type argument struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// hostMount is a file or folder of the node in a control plane component's pod.
type hostMount struct {
	Name      string `json:"name"`
	HostPath  string `json:"hostPath"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
	PathType  string `json:"pathType"`
}

// auditArguments keep at most 160 MB of log on the node, which a reader that comes back late still finds.
var auditArguments = []argument{
	{"audit-policy-file", auditPolicyFile},
	{"audit-log-path", auditLogFile},
	{"audit-log-maxsize", "32"}, // MB
	{"audit-log-maxbackup", "4"},
}

var auditMounts = []hostMount{
	{Name: "audit-policy", HostPath: auditPolicyFile, MountPath: auditPolicyFile, ReadOnly: true, PathType: "File"},
	{Name: "audit-log", HostPath: auditLogDir, MountPath: auditLogDir, PathType: "DirectoryOrCreate"},
}

// ensureAuditLog has the API server of a cluster that was made without an audit log write one.
func (r *run) ensureAuditLog(ctx context.Context) error {
	const manifest, config = "/etc/kubernetes/manifests/kube-apiserver.yaml", "/kind/kubeadm.conf"
	cp := controlPlane(r.opt.Name)
	out, err := docker(ctx, "exec", cp, "cat", manifest)
	if err != nil {
		return fmt.Errorf("read how the API server is started: %w", err)
	}
	if strings.Contains(out, "--"+auditArguments[0].Name+"=") {
		return nil
	}
	r.task.Detail("switching on the API server's audit log")
	if out, err = docker(ctx, "exec", cp, "cat", config); err != nil {
		return fmt.Errorf("read the cluster's configuration: %w", err)
	}
	changed, err := withAuditLog(out)
	if err != nil {
		return fmt.Errorf("switch on the audit log: %s of node %s: %w", config, cp, err)
	}
	if _, err := dockerWithin(ctx, answerTimeout, strings.NewReader(changed), "exec", "-i", cp, "cp", "/dev/stdin", config); err != nil {
		return fmt.Errorf("write the cluster's configuration: %w", err)
	}
	if _, err := docker(ctx, "exec", cp, "kubeadm", "init", "phase", "control-plane", "apiserver", "--config", config); err != nil {
		return fmt.Errorf("switch on the audit log: %w", err)
	}
	// The API server that ends answers for a while yet.
	const limit = 3 * time.Minute
	err = wait.PollUntilContextTimeout(ctx, time.Second, limit, true, func(ctx context.Context) (bool, error) {
		r.task.Detail("waiting for the API server to start anew")
		_, err := docker(ctx, "exec", cp, "test", "-s", auditLogFile)
		return err == nil, nil
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return r.explainNode(ctx, fmt.Errorf("the API server writes no audit log after %s", limit))
	}
	return nil
}

// withAuditLog is kubeadm's configuration with an API server that writes an audit log.
func withAuditLog(config string) (string, error) {
	documents := strings.Split(config, "\n---\n")
	i := slices.IndexFunc(documents, func(d string) bool {
		var head struct{ Kind string }
		return yaml.Unmarshal([]byte(d), &head) == nil && head.Kind == "ClusterConfiguration"
	})
	if i < 0 {
		return "", errors.New("it has no ClusterConfiguration")
	}
	var cluster map[string]any
	if err := yaml.Unmarshal([]byte(documents[i]), &cluster); err != nil {
		return "", err
	}
	server, _ := cluster["apiServer"].(map[string]any)
	if server == nil {
		server = map[string]any{}
	}
	arguments, ok := server["extraArgs"].([]any)
	if server["extraArgs"] != nil && !ok {
		return "", errors.New("its form isn't kubeadm.k8s.io/v1beta4")
	}
	for _, a := range auditArguments {
		arguments = append(arguments, a)
	}
	mounts, _ := server["extraVolumes"].([]any)
	for _, m := range auditMounts {
		mounts = append(mounts, m)
	}
	server["extraArgs"], server["extraVolumes"] = arguments, mounts
	cluster["apiServer"] = server
	raw, err := yaml.Marshal(cluster)
	if err != nil {
		return "", err
	}
	documents[i] = strings.TrimSuffix(string(raw), "\n")
	return strings.Join(documents, "\n---\n"), nil
}
