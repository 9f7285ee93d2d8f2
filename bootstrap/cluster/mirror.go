package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/ui"
)

// network is kind's, shared by all its clusters.
const network = "kind"

// ensureMirror has the container run that serves the store to the nodes. It
// comes before the nodes: they pull the control plane from it.
func (r *run) ensureMirror(ctx context.Context) error {
	if err := r.loadImage(ctx, r.opt.MirrorImage); err != nil {
		return err
	}
	if err := r.engine.ensureNetwork(ctx, r.opt.Name); err != nil {
		return err
	}
	name := mirrorName(r.opt.Name)
	store, err := filepath.Abs(r.opt.Store.Dir())
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if store, err = filepath.EvalSymlinks(store); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	id, err := r.engine.imageID(ctx, r.opt.MirrorImage)
	if err != nil {
		return err
	}
	found, err := r.engine.inspect(ctx, name)
	if err != nil {
		return err
	}
	user := mirrorUser(store)
	if len(found) == 1 {
		c := found[0]
		same := c.Image == id && c.mount("/store") == store && c.Config.User == user
		switch {
		case same && c.State.Running:
			return nil
		case same:
			r.task.Detail("starting the mirror")
			if err := r.engine.start(ctx, name); err == nil {
				return r.mirrorStarted(ctx, nil)
			}
			// It can't be started again when, say, its network was made
			// anew; there is nothing in it to keep.
		}
		if err := r.engine.remove(ctx, name); err != nil {
			return err
		}
	}
	r.task.Detail("starting the mirror")
	_, err = r.engine.docker(ctx, "run", "--detach", "--name", name, "--hostname", name,
		"--label", Label+"="+r.opt.Name,
		"--network", network,
		"--restart", "unless-stopped",
		"--read-only", "--user", user, "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--volume", store+":/store:ro",
		r.opt.MirrorImage)
	return r.mirrorStarted(ctx, err)
}

func (r *run) mirrorStarted(ctx context.Context, err error) error {
	name := mirrorName(r.opt.Name)
	if err != nil {
		return fmt.Errorf("start the mirror: %w", err)
	}
	// A process that can't read the store ends at once.
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(300 * time.Millisecond):
	}
	found, err := r.engine.inspect(ctx, name)
	if err != nil {
		return err
	}
	if len(found) == 1 && found[0].State.Running {
		return nil
	}
	log, _ := r.engine.docker(ctx, "logs", "--tail", "3", name)
	return ui.WithHint(fmt.Errorf("the mirror doesn't stay up: %s", command.LastLines(log, 1)),
		fmt.Sprintf("see `docker logs %s`", name))
}

// mirrorUser is whom the mirror runs as: the store's owner, who can read it for
// sure, unless that is root.
func mirrorUser(store string) string {
	const nobody = "65532:65532"
	info, err := os.Stat(store)
	if err != nil {
		return nobody
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nobody
	}
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// checkMirror asks each node for the mirror by name: after an engine's restart
// its address may be another, and without it no pod starts.
func (r *run) checkMirror(ctx context.Context) error {
	state, err := inspect(ctx, r.engine, r.opt.Name)
	if err != nil {
		return err
	}
	url := "http://" + mirrorName(r.opt.Name) + ":5000/v2/"
	for _, n := range state.Nodes {
		var last error
		for range 10 {
			if last = r.engine.exec(ctx, n.Name, "curl", "--noproxy", "*", "-fsS", "-m", "3", "-o", "/dev/null", url); last == nil {
				break
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Second):
			}
		}
		if last != nil {
			return ui.WithHint(fmt.Errorf("node %s doesn't reach the mirror: %w", n.Name, last),
				fmt.Sprintf("see `docker logs %s`; a firewall between containers of the network %q causes this too", mirrorName(r.opt.Name), network))
		}
	}
	return nil
}

// ensureNetwork makes kind's network the way kind does, since the mirror must
// stand before kind comes to it. The label says who made it; kind ignores it.
func (e engine) ensureNetwork(ctx context.Context, cluster string) error {
	out, err := e.docker(ctx, "network", "ls", "--filter", "name=^"+network+"$", "--format", "{{.Name}}")
	if err != nil {
		return err
	}
	if strings.TrimSpace(out) != "" {
		return nil
	}
	args := []string{"network", "create", "-d=bridge", "--label", Label + "=" + cluster,
		"-o", "com.docker.network.bridge.enable_ip_masquerade=true"}
	mtu, err := e.docker(ctx, "network", "inspect", "bridge", "-f", `{{ index .Options "com.docker.network.driver.mtu" }}`)
	if m := strings.TrimSpace(mtu); err == nil && m != "" && m != "0" && !strings.Contains(m, "no value") {
		args = append(args, "-o", "com.docker.network.driver.mtu="+m)
	}
	// The subnet that kind works out for a network of this name.
	_, err = e.docker(ctx, append(args, "--ipv6", "--subnet", "fc00:f853:ccd:e793::/64", network)...)
	if err != nil {
		// No IPv6 on this machine, or the subnet is taken: IPv4 will do.
		_, err = e.docker(ctx, append(args, network)...)
	}
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return fmt.Errorf("make the network %s: %w", network, err)
	}
	return nil
}

// removeNetwork removes kind's network if it was made here and nobody uses it.
func (e engine) removeNetwork(ctx context.Context) error {
	out, err := e.docker(ctx, "network", "ls", "--filter", "name=^"+network+"$", "--filter", "label="+Label, "--format", "{{.ID}}")
	if err != nil || strings.TrimSpace(out) == "" {
		return err
	}
	users, err := e.docker(ctx, "ps", "-a", "-q", "--filter", "network="+network)
	if err != nil || strings.TrimSpace(users) != "" {
		return err
	}
	if _, err := e.docker(ctx, "network", "rm", network); err != nil && !isAbsent(err) && !strings.Contains(err.Error(), "active endpoints") {
		return err
	}
	return nil
}
