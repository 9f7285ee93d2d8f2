package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/druppie/druppie-up/internal/names"
)

func mirrorName(cluster string) string { return cluster + "-mirror" }

// mirrorHosts tells containerd to ask the mirror for every image. `server` is
// the mirror itself: without it containerd would turn to upstream when the
// mirror lacks an image, and the cluster must never reach outside.
func mirrorHosts(cluster string) string {
	return fmt.Sprintf("server = \"http://%s:5000\"\ncapabilities = [\"pull\", \"resolve\"]\n", mirrorName(cluster))
}

// registryHosts leads the foundry's registry name to its fixed address; the
// certificate names that address too.
func registryHosts() string {
	return fmt.Sprintf("server = \"https://%s\"\ncapabilities = [\"pull\", \"resolve\"]\nca = \"%s/ca.crt\"\n", names.RegistryAddress, nodeDir)
}

// caFile is where the platform's CA lies, once it was made.
func caFile(stateDir string) string { return filepath.Join(stateDir, "ca.crt") }

// writeNodeFiles writes what the nodes mount, at every run: the files are the
// same unless the CA is new, and containerd reads them at each pull.
func writeNodeFiles(opt Options) error {
	nodes := filepath.Join(opt.StateDir, "nodes")
	files := map[string][]byte{
		filepath.Join(nodes, "certs.d", "_default", "hosts.toml"):                []byte(mirrorHosts(opt.Name)),
		filepath.Join(nodes, "certs.d", names.RegistryHost, "hosts.toml"):        []byte(registryHosts()),
		filepath.Join(nodes, roleControlPlane, filepath.Base(auditPolicyFile())): auditPolicy,
	}
	ca, err := readIfThere(caFile(opt.StateDir))
	if err != nil {
		return fmt.Errorf("read the platform's CA: %w", err)
	}
	for _, role := range []string{roleControlPlane, roleWorker, roleGPU} {
		dir := filepath.Join(nodes, role)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("write node files: %w", err)
		}
		if len(ca) > 0 {
			files[filepath.Join(dir, "ca.crt")] = ca
		}
	}
	for name, data := range files {
		if err := writeFileAtomic(name, data); err != nil {
			return fmt.Errorf("write node files: %w", err)
		}
	}
	return nil
}

// TrustCA gives the platform's CA to nodes that run already: containerd reads
// it at each pull, so nothing is restarted.
func TrustCA(opt Options, ca []byte) error {
	if err := writeFileAtomic(caFile(opt.StateDir), ca); err != nil {
		return fmt.Errorf("keep the platform's CA: %w", err)
	}
	return writeNodeFiles(opt)
}
