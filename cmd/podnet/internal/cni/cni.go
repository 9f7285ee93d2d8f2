// Package cni is podnet's end of the Container Network Interface: the plugin that the container runtime calls last
// when it makes a pod's network, and the socket on which podnet hears of it. No container of a pod starts before
// podnet has said that the rules of its address are in place, and podnet has taken an address that is given back away
// from the pod before another can get it. It owns what both say to each other; it refuses to make networks, and to know policies.
package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	cnitypes "github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
)

const (
	// Type is the plugin's name in a network's configuration, and of its file below the CNI folder.
	Type = "podnet"
	// Socket is where podnet listens on its node.
	Socket = "/run/druppie/podnet.sock"

	// patience is how long the plugin waits for the rules; the runtime tries again after that.
	patience = 30 * time.Second

	errRules = 100 // CNI leaves the numbers from 100 on to plugins
)

// Endpoint is a pod's network as the runtime made it.
type Endpoint struct {
	Container string     `json:"container"` // of the runtime, not the pod's: a pod's network may be made again
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	UID       string     `json:"uid"`
	Address   netip.Addr `json:"address"`
}

// Keeper is told of pods' networks.
type Keeper interface {
	// Add returns once the rules of the pod are in place; an error keeps the pod from starting.
	Add(context.Context, Endpoint) error
	Remove(container string)
}

// Plugin answers one call of the runtime, which asks by environment and standard input.
func Plugin() *cnitypes.Error {
	p := plugin{Socket}
	nothing := func(*skel.CmdArgs) error { return nil } // to be checked: podnet looks at its rules itself
	return skel.PluginMainFuncsWithError(skel.CNIFuncs{Add: p.add, Del: p.del, Check: nothing},
		version.All, "podnet: enforces network policies")
}

type plugin struct{ socket string }

// podArgs is what the kubelet says about the pod.
type podArgs struct {
	cnitypes.CommonArgs
	K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID cnitypes.UnmarshallableString //nolint:revive // CNI finds them by these names
}

func (p plugin) add(args *skel.CmdArgs) error {
	var conf cnitypes.PluginConf
	if err := json.Unmarshal(args.StdinData, &conf); err != nil {
		return fmt.Errorf("network configuration: %w", err)
	}
	if err := version.ParsePrevResult(&conf); err != nil {
		return fmt.Errorf("network configuration: %w", err)
	}
	if conf.PrevResult == nil {
		return errors.New("podnet comes after the plugin that gives the pod its address")
	}
	result, err := current.NewResultFromResult(conf.PrevResult)
	if err != nil {
		return fmt.Errorf("result of the plugin before: %w", err)
	}
	var pod podArgs
	if err := cnitypes.LoadArgs(args.Args, &pod); err != nil {
		return fmt.Errorf("what the runtime says of the pod: %w", err)
	}
	e := Endpoint{Container: args.ContainerID, Namespace: string(pod.K8S_POD_NAMESPACE), Name: string(pod.K8S_POD_NAME), UID: string(pod.K8S_POD_UID)}
	for _, ip := range result.IPs {
		if addr, ok := netip.AddrFromSlice(ip.Address.IP); ok && addr.Unmap().Is4() {
			e.Address = addr.Unmap()
		}
	}
	if e.UID == "" || !e.Address.IsValid() {
		return fmt.Errorf("the runtime names no pod, or the pod has no address of IPv4: %+v", e)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := p.call(http.MethodPost, "/endpoints", body); err != nil {
		return cnitypes.NewError(errRules, "the network policies of the pod aren't in place", err.Error())
	}
	return cnitypes.PrintResult(conf.PrevResult, conf.CNIVersion)
}

// del never fails for want of podnet: a pod must be able to end without.
func (p plugin) del(args *skel.CmdArgs) error {
	_ = p.call(http.MethodDelete, "/endpoints/"+url.PathEscape(args.ContainerID), nil)
	return nil
}

func (p plugin) call(method, path string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://podnet"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.socket)
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what can't be read can't be said
	return errors.New(strings.TrimSpace(string(text)))
}

// Serve hears of pods' networks on the socket until ctx ends. Who may open it is who may enter its folder: root.
func Serve(ctx context.Context, socket string, k Keeper) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return err
	}
	if err := os.Chmod(filepath.Dir(socket), 0o700); err != nil { // the kubelet may have made it
		return err
	}
	// One of a process that was killed is in the way.
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /endpoints", func(w http.ResponseWriter, r *http.Request) {
		var e Endpoint
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&e); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := k.Add(r.Context(), e); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("DELETE /endpoints/{container}", func(_ http.ResponseWriter, r *http.Request) { k.Remove(r.PathValue("container")) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // it ends in any case
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
