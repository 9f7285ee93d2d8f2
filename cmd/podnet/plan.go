package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// errNoRange is a node to which the controller manager hasn't given a range yet.
var errNoRange = errors.New("this node has no pod range yet")

// route leads to a node's pods.
type route struct {
	dst netip.Prefix
	via netip.Addr
}

// plan works out this node's pod range and the routes to those of the others.
// Nodes that have no range or address yet are left out: an event follows.
func plan(nodes []*corev1.Node, self string) (own netip.Prefix, routes []route, err error) {
	for _, n := range nodes {
		cidr, ok := podRange(n)
		if !ok {
			continue
		}
		if n.Name == self {
			own = cidr
			continue
		}
		if via, ok := internalIP(n); ok {
			routes = append(routes, route{dst: cidr, via: via})
		}
	}
	if !own.IsValid() {
		return own, nil, fmt.Errorf("%s: %w", self, errNoRange)
	}
	slices.SortFunc(routes, func(a, b route) int { return a.dst.Compare(b.dst) })
	return own, routes, nil
}

func podRange(n *corev1.Node) (netip.Prefix, bool) {
	for _, s := range append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...) {
		if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is4() {
			return p.Masked(), true
		}
	}
	return netip.Prefix{}, false
}

func internalIP(n *corev1.Node) (netip.Addr, bool) {
	for _, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		if ip, err := netip.ParseAddr(a.Address); err == nil && ip.Is4() {
			return ip, true
		}
	}
	return netip.Addr{}, false
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
