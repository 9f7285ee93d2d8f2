package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
)

const conflistName = "10-druppie.conflist"

// conflist is the CNI configuration for a node's pod range. Addresses are
// remembered below /run, which a node loses when it restarts, as it loses the
// pods that held them.
func conflist(own netip.Prefix, mtu int) ([]byte, error) {
	type m = map[string]any
	return json.MarshalIndent(m{
		"cniVersion": "1.0.0",
		"name":       "druppie",
		"plugins": []m{
			{
				"type":   "ptp",
				"ipMasq": true,
				"mtu":    mtu,
				"ipam": m{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"ranges":  [][]m{{{"subnet": own.String()}}},
					"routes":  []m{{"dst": "0.0.0.0/0"}},
				},
			},
			{"type": "portmap", "capabilities": m{"portMappings": true}},
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
	name := filepath.Join(dir, conflistName)
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	// The kubelet looks only at names that end in .conf, .conflist and .json.
	tmp := name + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("cni configuration: %w", err)
	}
	return nil
}
