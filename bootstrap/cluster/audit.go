package cluster

import (
	"context"
	"crypto/sha256"
	_ "embed" // of the policy
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"
)

// auditPolicy says what the API server's audit log holds.
//
//go:embed audit-policy.yaml
var auditPolicy []byte

// auditPolicyFile is where the nodes have the policy. The API server reads it when it starts, so that another policy has
// another name, by which it is started anew.
func auditPolicyFile() string {
	sum := sha256.Sum256(auditPolicy)
	return nodeDir + "/audit-policy-" + hex.EncodeToString(sum[:4]) + ".yaml"
}

const (
	auditLogDir  = "/var/log/kubernetes/audit"
	auditLogFile = auditLogDir + "/audit.log"
	// auditName begins the names of all that is set for the log.
	auditName = "audit-"
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

// auditArguments keep at most 160 MB of log on the node, which a reader that comes back late still finds. An event that
// is large loses its body, not its line.
func auditArguments() []argument {
	return []argument{
		{"audit-policy-file", auditPolicyFile()},
		{"audit-log-path", auditLogFile},
		{"audit-log-maxsize", "32"}, // MB
		{"audit-log-maxbackup", "4"},
		{"audit-log-truncate-enabled", "true"},
		{"audit-log-truncate-max-event-size", "102400"}, // bytes
	}
}

func auditMounts() []hostMount {
	return []hostMount{
		{Name: "audit-policy", HostPath: auditPolicyFile(), MountPath: auditPolicyFile(), ReadOnly: true, PathType: "File"},
		{Name: "audit-log", HostPath: auditLogDir, MountPath: auditLogDir, PathType: "DirectoryOrCreate"},
	}
}

// ensureAuditLog has the API server of a cluster that was made without an audit log, or with another policy, write one by
// this policy.
func (r *run) ensureAuditLog(ctx context.Context) error {
	const manifest, config = "/etc/kubernetes/manifests/kube-apiserver.yaml", "/kind/kubeadm.conf"
	cp := controlPlane(r.opt.Name)
	out, err := docker(ctx, "exec", cp, "cat", manifest)
	if err != nil {
		return fmt.Errorf("read how the API server is started: %w", err)
	}
	if strings.Contains(out, auditPolicyFile()) {
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
		// Its container has the policy's name among its arguments.
		out, err := docker(ctx, "exec", cp, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
		return err == nil && strings.Contains(out, "--audit-policy-file="+auditPolicyFile()), nil
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
	arguments = slices.DeleteFunc(arguments, isOfAudit)
	for _, a := range auditArguments() {
		arguments = append(arguments, a)
	}
	mounts, _ := server["extraVolumes"].([]any)
	mounts = slices.DeleteFunc(mounts, isOfAudit)
	for _, m := range auditMounts() {
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

// isOfAudit says whether an argument or a mount was set for the audit log before.
func isOfAudit(setting any) bool {
	m, _ := setting.(map[string]any)
	name, _ := m["name"].(string)
	return strings.HasPrefix(name, auditName)
}
