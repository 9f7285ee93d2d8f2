package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/druppie/druppie-up/cmd/podnet/internal/cni"
	"github.com/druppie/druppie-up/cmd/podnet/internal/firewall"
	"github.com/druppie/druppie-up/cmd/podnet/internal/policy"
)

const (
	// period is how often everything is brought in line, so that a route or a rule that
	// somebody deleted comes back.
	period = 30 * time.Second
	// settle is how long changes gather before they are worked out together.
	settle = 50 * time.Millisecond
	// known is how long a new pod may be unknown to this node's view of the cluster.
	known = 20 * time.Second
)

// node is one node's view of the cluster, and what it made of it.
type node struct {
	name    string
	log     *slog.Logger
	factory informers.SharedInformerFactory
	changed chan struct{}

	client     kubernetes.Interface
	nodes      corelisters.NodeLister
	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networkinglisters.NetworkPolicyLister

	work sync.Mutex // held by whoever brings the node in line
	mu   sync.Mutex // guards what follows
	// networks are the pods' as the runtime made them, by the pod's uid; without an
	// address once it was given back. The API server tells a pod's address about a second
	// after its first container has started, and for as long as it knows the pod.
	networks map[string]network
	applied  string // what was enforced last, as text
	state    firewall.State
	owners   map[netip.Addr]string // every pod that has an address, as namespace/name
}

type network struct{ cni.Endpoint }

// newNode returns once the whole cluster has been read.
func newNode(ctx context.Context, client kubernetes.Interface, name string, log *slog.Logger) (*node, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trim))
	core, networking := factory.Core().V1(), factory.Networking().V1()
	n := &node{
		name: name, log: log, factory: factory, client: client, changed: make(chan struct{}, 1), networks: map[string]network{},
		nodes: core.Nodes().Lister(), pods: core.Pods().Lister(), namespaces: core.Namespaces().Lister(),
		policies: networking.NetworkPolicies().Lister(),
	}
	for _, i := range []cache.SharedIndexInformer{
		core.Nodes().Informer(), core.Pods().Informer(), core.Namespaces().Informer(), networking.NetworkPolicies().Informer(),
	} {
		if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { n.wake() },
			UpdateFunc: func(old, now any) {
				if !same(old, now) {
					n.wake()
				}
			},
			DeleteFunc: func(any) { n.wake() },
		}); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("%v: not read before the end", kind)
		}
	}
	return n, nil
}

func (n *node) wake() {
	select {
	case n.changed <- struct{}{}:
	default: // one is waiting already
	}
}

func (n *node) close() { n.factory.Shutdown() }

// keep brings the node in line with the cluster until ctx ends.
func (n *node) keep(ctx context.Context) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	logged, again := "", true
	for {
		err := n.reconcile(again)
		// Objects change every few seconds: log only what is news.
		if now := fmt.Sprint(err); now != logged {
			n.log.Info("reconciled", "error", err)
			logged = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.changed:
			again = err != nil
		case <-tick.C:
			again = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
	}
}

// reconcile brings the configuration, the routes and the rules in line. Rules that are the same
// as before are only written again if asked. One way of the network that fails keeps none of the
// others from being mended.
func (n *node) reconcile(again bool) error {
	n.work.Lock()
	defer n.work.Unlock()
	nodes, err := n.nodes.List(labels.Everything())
	if err != nil {
		return err
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	own, routes, err := plan(nodes, n.name)
	if err == nil {
		err = n.enforce(own, nodes, again)
	}
	if err != nil {
		n.mu.Lock()
		n.applied = ""
		n.mu.Unlock()
		return err
	}
	// Last: from the moment the file is there, pods start.
	return errors.Join(setRoutes(routes), writeConflist(configDir, own, linkMTU()))
}

// enforce works out the rules and writes them.
func (n *node) enforce(own netip.Prefix, nodes []*corev1.Node, again bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := firewall.State{Range: own}
	ranges := map[string]netip.Prefix{}
	for _, m := range nodes {
		if cidr, ok := podRange(m); ok {
			ranges[m.Name] = cidr
			s.Ranges = append(s.Ranges, cidr)
		}
		if ip, ok := internalIP(m); ok {
			s.Nodes = append(s.Nodes, ip)
		}
	}
	c, err := n.cluster(ranges)
	if err != nil {
		return err
	}
	s.Endpoints = policy.Compile(c, n.name)
	owners := map[netip.Addr]string{}
	for _, p := range c.Pods {
		s.Pods = append(s.Pods, p.Addr)
		owners[p.Addr] = p.Namespace + "/" + p.Name
	}
	n.state, n.owners = s, owners
	if now := describe(s); again || now != n.applied {
		n.applied = ""
		if err := firewall.Apply(s); err != nil {
			return err
		}
		n.applied = now
	}
	return nil
}

// describe tells states apart: two of the same make the same rules.
func describe(s firewall.State) string {
	h := sha256.New()
	fmt.Fprint(h, s.Range, s.Ranges, s.Nodes, s.Pods)
	for _, e := range s.Endpoints {
		fmt.Fprint(h, "\n", e.Addr, e.Ingress.Isolated, e.Ingress.Allow, e.Egress.Isolated, e.Egress.Allow)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// cluster is what policies speak of, with the address of each pod as it is best known. A pod has an address of its
// own node's range or none; where two claim one, the runtime of this node knows, and elsewhere neither has it.
func (n *node) cluster(ranges map[string]netip.Prefix) (policy.Cluster, error) {
	pods, err := n.pods.List(labels.Everything())
	if err != nil {
		return policy.Cluster{}, err
	}
	var c policy.Cluster
	if c.Namespaces, err = n.namespaces.List(labels.Everything()); err != nil {
		return c, err
	}
	if c.Policies, err = n.policies.List(labels.Everything()); err != nil {
		return c, err
	}
	owners := map[netip.Addr]*corev1.Pod{}
	for _, p := range pods {
		addr, ok := n.address(p)
		if !ok || !ranges[p.Spec.NodeName].Contains(addr) {
			continue
		}
		if other, taken := owners[addr]; taken {
			p = n.holder(p, other)
		}
		owners[addr] = p
	}
	for addr, p := range owners {
		if p != nil {
			c.Pods = append(c.Pods, policy.Pod{Pod: p, Addr: addr})
		}
	}
	slices.SortFunc(c.Pods, func(a, b policy.Pod) int { return a.Addr.Compare(b.Addr) })
	return c, nil
}

// holder is which of two pods has an address that both claim; nil if nobody can tell.
func (n *node) holder(p, other *corev1.Pod) *corev1.Pod {
	if _, made := n.networks[string(p.UID)]; made {
		return p
	}
	if other != nil {
		if _, made := n.networks[string(other.UID)]; made {
			return other
		}
	}
	return nil
}

// address is a pod's: as the runtime gave it to a pod of this node, otherwise as the API server tells. A pod that has
// ended has none.
func (n *node) address(p *corev1.Pod) (netip.Addr, bool) {
	if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return netip.Addr{}, false
	}
	if made, here := n.networks[string(p.UID)]; here {
		return made.Address, made.Address.IsValid()
	}
	addr, err := netip.ParseAddr(p.Status.PodIP)
	return addr, err == nil && addr.Is4()
}

// endpoint is the pod of this node that has an address, with what its policies leave of it.
func (n *node) endpoint(addr netip.Addr) (policy.Endpoint, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.state.Endpoints, func(e policy.Endpoint) bool { return e.Addr == addr })
	if i < 0 {
		return policy.Endpoint{}, false
	}
	return n.state.Endpoints[i], true
}

// who names an address: a pod as namespace/name, a node, or the address alone.
func (n *node) who(addr netip.Addr) string {
	n.mu.Lock()
	owner, known := n.owners[addr]
	n.mu.Unlock()
	if known {
		return owner
	}
	if nodes, err := n.nodes.List(labels.Everything()); err == nil {
		for _, m := range nodes {
			if ip, ok := internalIP(m); ok && ip == addr {
				return "node " + m.Name
			}
		}
	}
	return addr.String()
}
