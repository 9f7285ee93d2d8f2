package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// network is kind's, shared by all its clusters.
const network = "kind"

// ensureMirror has the container run that serves the store to the nodes. It
// starts before the nodes, which pull the control plane's images from it.
func (r *run) ensureMirror(ctx context.Context, found *container) error {
	image := names.OwnImage("mirror")
	id, err := r.loadImage(ctx, image)
	if err != nil {
		return err
	}
	store, err := filepath.EvalSymlinks(r.opt.Store.Dir())
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	name, user := mirrorName(r.opt.Name), mirrorUser(store)
	upToDate := found != nil && found.Image == id && found.mount("/store") == store && found.Config.User == user
	if upToDate && found.State.Running {
		return nil
	}
	if err := ensureNetwork(ctx, r.opt.Name); err != nil {
		return err
	}
	r.task.Detail("starting the mirror")
	if upToDate {
		if _, err := docker(ctx, "start", name); err == nil {
			return checkMirrorRuns(ctx, name)
		}
		// It can't be started again when, say, its network was made
		// anew; there is nothing in it to keep.
	}
	if found != nil {
		if err := removeContainers(ctx, name); err != nil {
			return err
		}
	}
	if _, err := docker(ctx, "run", "--detach", "--name", name, "--hostname", name,
		"--label", Label+"="+r.opt.Name,
		"--network", network,
		"--restart", "unless-stopped",
		"--read-only", "--user", user, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--volume", store+":/store:ro",
		image); err != nil {
		return fmt.Errorf("start the mirror: %w", err)
	}
	return checkMirrorRuns(ctx, name)
}

func checkMirrorRuns(ctx context.Context, name string) error {
	// A process that can't read the store ends at once.
	time.Sleep(300 * time.Millisecond)
	found, err := inspectContainers(ctx, name)
	if err != nil {
		return err
	}
	if len(found) == 1 && found[0].State.Running {
		return nil
	}
	log, _ := docker(ctx, "logs", "--tail", "3", name)
	return ui.WithHint(fmt.Errorf("the mirror doesn't stay up: %s", command.LastLines(log, 1)),
		fmt.Sprintf("see `docker logs %s`", name))
}

// mirrorUser is whom the mirror runs as: the store's owner, who can read it for
// sure, unless that is root.
func mirrorUser(store string) string {
	if info, err := os.Stat(store); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
		}
	}
	return "65532:65532" // nobody
}

// checkMirror asks each node for the mirror by name: after an engine's restart
// its address may be another, and without it no pod starts.
func (r *run) checkMirror(ctx context.Context) error {
	state, err := Inspect(ctx, r.opt.Name)
	if err != nil {
		return err
	}
	mirror := mirrorName(r.opt.Name)
	for _, n := range state.Nodes {
		if _, err := docker(ctx, "exec", n.Name, "curl", "--noproxy", "*", "-fsS", "-m", "3", "--retry", "10", "--retry-all-errors",
			"--retry-delay", "1", "-o", "/dev/null", "http://"+mirror+":5000/v2/"); err != nil {
			return ui.WithHint(fmt.Errorf("node %s doesn't reach the mirror: %w", n.Name, err),
				fmt.Sprintf("see `docker logs %s`; a firewall between containers of the network %q causes this too", mirror, network))
		}
	}
	return nil
}

// ensureNetwork makes kind's network the way kind does, since the mirror has to
// run before kind makes it. The label says who made it; kind ignores it.
func ensureNetwork(ctx context.Context, cluster string) error {
	out, err := docker(ctx, "network", "ls", "--filter", "name=^"+network+"$", "--format", "{{.Name}}")
	if err != nil || strings.TrimSpace(out) != "" {
		return err
	}
	args := []string{"network", "create", "-d=bridge", "--label", Label + "=" + cluster,
		"-o", "com.docker.network.bridge.enable_ip_masquerade=true"}
	mtu, err := docker(ctx, "network", "inspect", "bridge", "-f", `{{ index .Options "com.docker.network.driver.mtu" }}`)
	if m := strings.TrimSpace(mtu); err == nil && m != "" && m != "0" && !strings.Contains(m, "no value") {
		args = append(args, "-o", "com.docker.network.driver.mtu="+m)
	}
	// The subnet that kind works out for a network of this name.
	_, err = docker(ctx, append(args, "--ipv6", "--subnet", "fc00:f853:ccd:e793::/64", network)...)
	if err != nil {
		// No IPv6 on this machine, or the subnet is taken: IPv4 will do.
		_, err = docker(ctx, append(args, network)...)
	}
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return fmt.Errorf("make the network %s: %w", network, err)
	}
	return nil
}

// removeNetwork removes kind's network if it was made here and nobody uses it.
func removeNetwork(ctx context.Context) error {
	out, err := docker(ctx, "network", "ls", "--filter", "name=^"+network+"$", "--filter", "label="+Label, "--format", "{{.ID}}")
	if err != nil || strings.TrimSpace(out) == "" {
		return err
	}
	users, err := docker(ctx, "ps", "-a", "-q", "--filter", "network="+network)
	if err != nil || strings.TrimSpace(users) != "" {
		return err
	}
	if _, err := docker(ctx, "network", "rm", network); err != nil && !isAbsent(err) && !strings.Contains(err.Error(), "active endpoints") {
		return err
	}
	return nil
}

// Network is the range of IPv4 addresses that the nodes stand in: theirs, the engine's own, and whatever else it
// runs there.
func Network(ctx context.Context) (netip.Prefix, error) {
	out, err := docker(ctx, "network", "inspect", network, "-f", "{{range .IPAM.Config}}{{println .Subnet}}{{end}}")
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("addresses of the network %s: %w", network, err)
	}
	for _, subnet := range strings.Fields(out) {
		if p, err := netip.ParsePrefix(subnet); err == nil && p.Addr().Is4() {
			return p.Masked(), nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("the network %s has no range of IPv4 addresses: %q", network, out)
}
