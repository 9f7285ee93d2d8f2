package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/druppie/druppie-up/cmd/podnet/internal/cni"
)

const conflistName = "10-druppie.conflist"

// conflist is the CNI configuration for a node's pod range. Addresses are
// remembered below /run, which a node loses when it restarts, as it loses the
// pods that held them. Translating addresses is left to podnet's own table: the
// plugin's would also translate what goes to the pods of other nodes.
func conflist(own netip.Prefix, mtu int) ([]byte, error) {
	type m = map[string]any
	return json.MarshalIndent(m{
		"cniVersion": "1.0.0",
		"name":       "druppie",
		"plugins": []m{
			{
				"type": "ptp",
				"mtu":  mtu,
				"ipam": m{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"ranges":  [][]m{{{"subnet": own.String()}}},
					"routes":  []m{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": m{"portMappings": true}},
			// Last, when the pod has its address: nothing starts before the rules of the policies are
			// there that the API server has then.
			{"type": cni.Type},
		},
	}, "", "  ")
}

// writeConflist writes the file if it isn't so already, whole or not at all:
// the kubelet may read at any moment.
func writeConflist(dir string, own netip.Prefix, mtu int) error {
	data, err := conflist(own, mtu)
	if err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	return writeWhole(filepath.Join(dir, conflistName), data)
}

// installPlugin puts this very program among the CNI plugins. It is larger than what this program may
// hold of memory, so it is passed on piece by piece.
func installPlugin(dir string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("install the plugin: %w", err)
	}
	defer self.Close()
	name := filepath.Join(dir, cni.Type)
	tmp, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("install the plugin: %w", err)
	}
	_, err = io.Copy(tmp, self)
	if err := errors.Join(err, tmp.Chmod(0o755), tmp.Close()); err != nil {
		return fmt.Errorf("install the plugin: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("install the plugin: %w", err)
	}
	return nil
}

// writeWhole writes a file if it isn't so already, whole or not at all.
func writeWhole(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	// Of the configurations, the kubelet looks only at names that end in .conf, .conflist and .json.
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
