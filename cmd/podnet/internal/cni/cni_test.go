package cni

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/google/go-cmp/cmp"
)

type keeper struct {
	mu      sync.Mutex
	added   []Endpoint
	removed []string
	err     error
}

func (k *keeper) Add(_ context.Context, e Endpoint) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.added = append(k.added, e)
	return k.err
}

func (k *keeper) Remove(container string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.removed = append(k.removed, container)
}

const config = `{"cniVersion":"1.0.0","name":"druppie","type":"podnet","prevResult":{"cniVersion":"1.0.0",` +
	`"ips":[{"address":"10.244.0.7/24","gateway":"10.244.0.1"}],"dns":{}}}`

const podOf = "IgnoreUnknown=1;K8S_POD_NAMESPACE=drones;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1"

// TestPlugin calls the plugin as the runtime does, with podnet at the other end of a socket.
func TestPlugin(t *testing.T) {
	k := &keeper{}
	p := plugin{serve(t, k)}
	out, err := stdout(t, func() error {
		return p.add(&skel.CmdArgs{ContainerID: "c1", Args: podOf, StdinData: []byte(config)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, `"10.244.0.7/24"`) {
		t.Errorf("the result of the plugin before isn't passed on: %s", out)
	}
	want := []Endpoint{{"c1", "drones", "web-0", "u1", netip.MustParseAddr("10.244.0.7")}}
	if diff := cmp.Diff(want, k.added, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if err := p.del(&skel.CmdArgs{ContainerID: "c1"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"c1"}, k.removed); diff != "" {
		t.Error(diff)
	}
}

// TestNoRulesNoPod: a pod whose rules can't be put in place doesn't get its network.
func TestNoRulesNoPod(t *testing.T) {
	add := func(p plugin, pod, config string) error {
		_, err := stdout(t, func() error {
			return p.add(&skel.CmdArgs{ContainerID: "c1", Args: pod, StdinData: []byte(config)})
		})
		return err
	}
	works := plugin{serve(t, &keeper{})}
	broken := plugin{serve(t, &keeper{err: errors.New("the kernel refuses")})}
	for _, tt := range []struct {
		name, pod, config, want string
		plugin                  plugin
	}{
		{"podnet can't", podOf, config, "the kernel refuses", broken},
		{"podnet isn't there", podOf, config, "no such file", plugin{filepath.Join(t.TempDir(), "none")}},
		{"no pod is named", "IgnoreUnknown=1", config, "names no pod", works},
		{"no address", podOf, strings.Replace(config, "10.244.0.7/24", "fd00::7/64", 1), "no address of IPv4", works},
		{"first of its list", podOf, `{"cniVersion":"1.0.0","name":"druppie","type":"podnet"}`, "comes after", works},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := add(tt.plugin, tt.pod, tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	gone := plugin{filepath.Join(t.TempDir(), "none")}
	if err := gone.del(&skel.CmdArgs{ContainerID: "c1"}); err != nil {
		t.Errorf("a pod can't end without podnet: %v", err)
	}
}

func serve(t *testing.T, k Keeper) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cni") // short: a socket's path has room for 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "run", "s")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Serve(ctx, socket, k) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for range 500 {
		if conn, err := net.Dial("unix", socket); err == nil {
			_ = conn.Close()
			return socket
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("nobody answers on the socket")
	return ""
}

// stdout is what f writes to standard output, by which a plugin answers.
func stdout(t *testing.T, f func() error) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = w
	err = f()
	os.Stdout = old
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, readErr := io.ReadAll(r)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(data), err
}
