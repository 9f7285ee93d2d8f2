// Command podnet is the pod network of a cluster whose nodes all stand in one
// layer-2 network, as kind's do. On each node it writes the CNI configuration
// (ptp, host-local and portmap from the node's own pod range) and keeps a route
// to the pod range of every other node. It owns that one file and the routes
// that bear its protocol number, and nothing else.
//
// NetworkPolicies are NOT enforced: any pod can reach any pod. Where the node
// image brings kind's own network daemon, that one is used instead of podnet.
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

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// period is how often everything is reconciled, so that a route that
// somebody deleted comes back.
const period = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log, os.Getenv("NODE_NAME"), "/etc/cni/net.d"); err != nil {
		log.Error("podnet ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, self, dir string) error {
	if self == "" {
		return errors.New("NODE_NAME is empty: podnet has to know its node")
	}
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes()
	changed := make(chan struct{}, 1)
	enqueue := func() {
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { enqueue() },
		UpdateFunc: func(any, any) { enqueue() },
		DeleteFunc: func(any) { enqueue() },
	}); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), nodes.Informer().HasSynced) {
		return nil // the context ended
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	logged := ""
	for {
		list, err := nodes.Lister().List(labels.Everything())
		if err == nil {
			err = reconcile(list, self, dir)
		}
		// Node objects change every few seconds: log only what is news.
		now := fmt.Sprintf("nodes=%d error=%v", len(list), err)
		if now != logged {
			log.Info("reconciled network", "nodes", len(list), "error", err)
			logged = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

// reconcile brings the configuration and the routes in line with the nodes.
func reconcile(nodes []*corev1.Node, self, dir string) error {
	own, routes, err := plan(nodes, self)
	if err != nil {
		return err
	}
	// Routes first: from the moment the file is there, pods start.
	if err := setRoutes(routes); err != nil {
		return err
	}
	return writeConflist(dir, own, linkMTU())
}
