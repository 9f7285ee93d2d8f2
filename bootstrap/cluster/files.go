package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

// writeNodeFiles writes what the nodes mount. It is written at every run: the
// files are the same unless the CA is new, and containerd reads them at each pull.
func writeNodeFiles(opt Options) error {
	nodes := filepath.Join(opt.StateDir, "nodes")
	files := map[string][]byte{
		filepath.Join(nodes, "certs.d", "_default", "hosts.toml"):         []byte(mirrorHosts(opt.Name)),
		filepath.Join(nodes, "certs.d", names.RegistryHost, "hosts.toml"): []byte(registryHosts()),
	}
	var ca []byte
	if opt.CAFile != "" {
		var err error
		if ca, err = os.ReadFile(opt.CAFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the platform's CA: %w", err)
		}
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
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("write node files: %w", err)
		}
		if err := writeFileAtomic(name, data, 0o644); err != nil {
			return fmt.Errorf("write node files: %w", err)
		}
	}
	return nil
}

// TrustCA hands the platform's CA to nodes that run already: containerd reads
// it at each pull, so nothing is restarted.
func TrustCA(opt Options, ca []byte) error {
	if err := writeFileAtomic(opt.CAFile, ca, 0o644); err != nil {
		return fmt.Errorf("keep the platform's CA: %w", err)
	}
	return writeNodeFiles(opt)
}

// imagesFile lists the images that were loaded into the engine for this
// cluster: an image bears no label of ours, so nothing else would tell.
func imagesFile(stateDir string) string { return filepath.Join(stateDir, "images") }

func noteImage(stateDir, ref string) error {
	known, err := loadedImages(stateDir)
	if err != nil || slices.Contains(known, ref) {
		return err
	}
	data := strings.Join(append(known, ref), "\n") + "\n"
	if err := writeFileAtomic(imagesFile(stateDir), []byte(data), 0o644); err != nil {
		return fmt.Errorf("note image %s: %w", ref, err)
	}
	return nil
}

func loadedImages(stateDir string) ([]string, error) {
	data, err := os.ReadFile(imagesFile(stateDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("loaded images: %w", err)
	}
	return strings.Fields(string(data)), nil
}
