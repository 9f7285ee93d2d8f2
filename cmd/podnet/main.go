// Command podnet is the pod network of a cluster whose nodes all stand in one
// layer-2 network, as kind's do, and what enforces NetworkPolicies in it. On each
// node it writes the CNI configuration (ptp, host-local and portmap from the node's
// own pod range, and itself), keeps a route to the pod range of every other node, and
// keeps the rules that the policies come to. It owns that one file, its own file among
// the CNI plugins, the routes that bear its protocol number and one table of nftables,
// and nothing else.
//
// The container runtime calls the same program as a CNI plugin.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/druppie/druppie-up/cmd/podnet/internal/cni"
	"github.com/druppie/druppie-up/cmd/podnet/internal/denied"
	"github.com/druppie/druppie-up/cmd/podnet/internal/firewall"
)

// Where the node keeps what the runtime's CNI library reads.
const (
	configDir  = "/etc/cni/net.d"
	pluginsDir = "/opt/cni/bin"
)

func main() {
	if os.Getenv("CNI_COMMAND") != "" {
		if err := cni.Plugin(); err != nil {
			_ = err.Print() // to standard output, where the runtime looks; it has no other ear
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log, os.Getenv("NODE_NAME")); err != nil {
		log.Error("podnet ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, self string) error {
	if self == "" {
		return errors.New("NODE_NAME is empty: podnet has to know its node")
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 50, 100 // each pod that starts asks once, and after a restart all do
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	if err := installPlugin(pluginsDir); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n, err := newNode(ctx, client, self, log)
	if err != nil {
		return err
	}
	defer n.close()
	r := newReporter(client, n, log)

	// What fails ends all: the DaemonSet starts it again, and the rules stay as they were. But
	// for what was refused: not to hear of it mustn't keep new pods from starting.
	parts := []func() error{
		func() error { return n.keep(ctx) },
		func() error { return cni.Serve(ctx, cni.Socket, n) },
		func() error { return r.run(ctx) },
		func() error {
			for ctx.Err() == nil {
				err := denied.Listen(ctx, firewall.Group, r.report)
				log.Info("refused connections aren't told for a while", "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(period):
				}
			}
			return nil
		},
	}
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			err := part()
			cancel()
			ended <- err
		}()
	}
	var errs []error
	for range parts {
		errs = append(errs, <-ended)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("node %s: %w", self, err)
	}
	return nil
}
