package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func standing(name, cidr, ip string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Spec.PodCIDR = cidr
	n.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: name},
		{Type: corev1.NodeInternalIP, Address: ip},
	}
	return n
}

func TestPlan(t *testing.T) {
	a, b := standing("a", "10.244.0.0/24", "172.18.0.2"), standing("b", "10.244.1.0/24", "172.18.0.3")
	tests := []struct {
		name   string
		nodes  []*corev1.Node
		own    string
		routes []string
		err    error
	}{
		{name: "alone", nodes: []*corev1.Node{a}, own: "10.244.0.0/24"},
		{name: "two", nodes: []*corev1.Node{b, a}, own: "10.244.0.0/24", routes: []string{"10.244.1.0/24 via 172.18.0.3"}},
		{name: "other without range", nodes: []*corev1.Node{a, standing("c", "", "172.18.0.4")}, own: "10.244.0.0/24"},
		{name: "other without address", nodes: []*corev1.Node{a, standing("c", "10.244.2.0/24", "")}, own: "10.244.0.0/24"},
		{name: "other with IPv6 only", nodes: []*corev1.Node{a, standing("c", "fd00::/64", "fc00::4")}, own: "10.244.0.0/24"},
		{name: "self without range", nodes: []*corev1.Node{standing("a", "", "172.18.0.2"), b}, err: errNoRange},
		{name: "self not there", nodes: []*corev1.Node{b}, err: errNoRange},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			own, routes, err := plan(tt.nodes, "a")
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			var got []string
			for _, r := range routes {
				got = append(got, r.dst.String()+" via "+r.via.String())
			}
			if own.String() != tt.own {
				t.Errorf("own range %s, want %s", own, tt.own)
			}
			if diff := cmp.Diff(tt.routes, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const wantConflist = `{
  "cniVersion": "1.0.0",
  "name": "druppie",
  "plugins": [
    {
      "ipam": {
        "dataDir": "/run/cni-ipam-state",
        "ranges": [
          [
            {
              "subnet": "10.244.3.0/24"
            }
          ]
        ],
        "routes": [
          {
            "dst": "0.0.0.0/0"
          }
        ],
        "type": "host-local"
      },
      "mtu": 1400,
      "type": "ptp"
    },
    {
      "capabilities": {
        "portMappings": true
      },
      "type": "portmap"
    },
    {
      "type": "podnet"
    }
  ]
}`

func TestWriteConflist(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, conflistName)
	write := func(mtu int) os.FileInfo {
		t.Helper()
		if err := writeConflist(dir, netip.MustParsePrefix("10.244.3.0/24"), mtu); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := write(1400)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantConflist, string(data)); diff != "" {
		t.Error(diff)
	}
	if second := write(1400); !os.SameFile(first, second) {
		t.Error("a file that was right was written again")
	}
	if third := write(1500); os.SameFile(first, third) {
		t.Error("a file that was wrong stayed")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, %v", entries, err)
	}
}
