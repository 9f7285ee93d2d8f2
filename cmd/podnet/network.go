package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/cmd/podnet/internal/cni"
	"github.com/druppie/druppie-up/cmd/podnet/internal/firewall"
)

// Add makes the rules of a pod's new network, and returns once they are in place.
func (n *node) Add(ctx context.Context, e cni.Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, known)
	defer cancel()
	for {
		waiting, err := n.behind(ctx, e)
		if err != nil {
			return err
		}
		if waiting == "" {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s isn't among what the API server has told of", waiting)
		case <-time.After(settle):
		}
	}
	n.mu.Lock()
	for uid, old := range n.networks {
		// An address that was never given back and is given again, and pods that have gone.
		if old.Address == e.Address || !n.knows(old.Endpoint) {
			delete(n.networks, uid)
		}
	}
	n.networks[e.UID] = network{e}
	n.mu.Unlock()
	if err := n.reconcile(true); err != nil && n.lacksRules() {
		return errors.Join(errors.New("the rules of its address can't be written"), err)
	}
	// Whoever had the address before may have left connections.
	return firewall.Forget(e.Address)
}

// behind names what this node's view of the cluster lacks of what a new pod's rules are made of; empty: nothing. Where
// the API server can't be asked, what it told last counts.
func (n *node) behind(ctx context.Context, e cni.Endpoint) (string, error) {
	if !n.knows(e) {
		return "pod " + e.Namespace + "/" + e.Name, nil
	}
	list, err := n.client.NetworkingV1().NetworkPolicies(e.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		n.log.Info("a pod starts with the policies that were told last", "pod", e.Namespace+"/"+e.Name, "error", err)
		return "", nil
	}
	for _, p := range list.Items {
		seen, err := n.policies.NetworkPolicies(p.Namespace).Get(p.Name)
		if apierrors.IsNotFound(err) || err == nil && (seen.UID != p.UID || seen.Generation < p.Generation) {
			return "network policy " + p.Namespace + "/" + p.Name, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

func (n *node) knows(e cni.Endpoint) bool {
	p, err := n.pods.Pods(e.Namespace).Get(e.Name)
	return err == nil && string(p.UID) == e.UID && p.Spec.NodeName == n.name
}

// lacksRules says whether what was worked out last isn't what the kernel enforces.
func (n *node) lacksRules() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.applied == ""
}

// Remove takes the address away from a pod whose network the runtime takes down.
func (n *node) Remove(container string) {
	n.mu.Lock()
	var given netip.Addr
	for uid, made := range n.networks {
		if made.Container == container && made.Address.IsValid() {
			given, made.Address = made.Address, netip.Addr{}
			n.networks[uid] = made
		}
	}
	n.mu.Unlock()
	if !given.IsValid() {
		return
	}
	if err := n.reconcile(false); err != nil {
		n.log.Info("an address was given back", "error", err)
	}
	if err := firewall.Forget(given); err != nil {
		n.log.Info("an address was given back", "error", err)
	}
}
