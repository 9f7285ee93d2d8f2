// Package policy works out, from the NetworkPolicies of a cluster, which connections each pod may still make and
// take. It owns the meaning of a NetworkPolicy (networking.k8s.io/v1); it refuses to know packet filters, and to
// read a cluster.
package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Pod is a pod that has an address of its own: one in the network of its node is the node, for every policy.
type Pod struct {
	*corev1.Pod
	Addr netip.Addr
}

// Cluster is what policies speak of.
type Cluster struct {
	Pods       []Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
}

// Allow is one kind of connection that policies let through.
type Allow struct {
	Peers       *netipx.IPSet   // addresses of the other side; nil: any
	Protocol    corev1.Protocol // empty: any, and then no port counts
	First, Last uint16          // destination ports, both included
}

// anyPort is the range of a rule that names a protocol and no port.
const anyPort = 65535

func (a Allow) String() string {
	peers := "any"
	if a.Peers != nil {
		peers = fmt.Sprint(a.Peers.Ranges())
	}
	if a.Protocol == "" {
		return peers
	}
	return fmt.Sprintf("%s %s %d-%d", peers, a.Protocol, a.First, a.Last)
}

// Side is what is left of one direction of a pod's connections.
type Side struct {
	// Isolated says whether any policy selects the pod in this direction; if none does, everything is allowed.
	Isolated bool
	// Policies are the names of those that do, sorted.
	Policies []string
	Allow    []Allow
}

// Endpoint is a pod with what its policies leave of it.
type Endpoint struct {
	Pod
	Ingress, Egress Side
}

// Compile works out the endpoints of the pods of one node, in the order of c.Pods.
//
// The rules are those of the API's documentation: a pod that some policy selects in a direction is isolated in
// it; what remains is the sum of what all of these allow; a connection must be allowed at both of its ends. A
// selector that can't be read selects, as a subject, every pod of its namespace, and as a peer none.
func Compile(c Cluster, node string) []Endpoint {
	x := compiler{
		pods: c.Pods, namespaces: map[string]labels.Set{}, policies: map[string][]compiled{},
		known: map[*networkingv1.NetworkPolicyPeer]peers{},
	}
	for _, n := range c.Namespaces {
		x.namespaces[n.Name] = n.Labels
	}
	for _, p := range c.Policies {
		x.policies[p.Namespace] = append(x.policies[p.Namespace], compiled{p, selector(&p.Spec.PodSelector, labels.Everything())})
	}
	var out []Endpoint
	for _, pod := range c.Pods {
		if pod.Spec.NodeName != node {
			continue
		}
		out = append(out, Endpoint{
			Pod:     pod,
			Ingress: x.side(pod, networkingv1.PolicyTypeIngress),
			Egress:  x.side(pod, networkingv1.PolicyTypeEgress),
		})
	}
	return out
}

type compiler struct {
	pods       []Pod
	namespaces map[string]labels.Set
	policies   map[string][]compiled // by namespace
	known      map[*networkingv1.NetworkPolicyPeer]peers
}

// compiled is a policy whose subject was read.
type compiled struct {
	*networkingv1.NetworkPolicy
	selects labels.Selector
}

// peers are the addresses that a rule speaks of, nil for any, and the pods among them.
type peers struct {
	set  *netipx.IPSet
	pods []Pod
}

// rule is a rule of either direction.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

func (c compiler) side(pod Pod, direction networkingv1.PolicyType) Side {
	var s Side
	for _, p := range c.policies[pod.Namespace] {
		if !slices.Contains(types(p.NetworkPolicy), direction) || !p.selects.Matches(labels.Set(pod.Labels)) {
			continue
		}
		s.Isolated = true
		s.Policies = append(s.Policies, p.Name)
		for _, r := range rules(p.NetworkPolicy, direction) {
			s.Allow = append(s.Allow, c.allow(p.Namespace, r, pod, direction)...)
		}
	}
	slices.Sort(s.Policies)
	slices.SortFunc(s.Allow, func(a, b Allow) int { return cmp.Compare(a.String(), b.String()) })
	s.Allow = slices.CompactFunc(s.Allow, func(a, b Allow) bool { return a.String() == b.String() })
	return s
}

// types are the directions that a policy is about. The API server fills them in; what comes without them is
// about ingress, and about egress if it has rules for it.
func types(p *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	switch {
	case len(p.Spec.PolicyTypes) > 0:
		return p.Spec.PolicyTypes
	case len(p.Spec.Egress) > 0:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	}
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
}

func rules(p *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) []rule {
	var out []rule
	if direction == networkingv1.PolicyTypeIngress {
		for _, r := range p.Spec.Ingress {
			out = append(out, rule{r.From, r.Ports})
		}
		return out
	}
	for _, r := range p.Spec.Egress {
		out = append(out, rule{r.To, r.Ports})
	}
	return out
}

// allow is what one rule lets through. A named port stands for the numbers that the pod at the receiving end gave
// that name: in ingress the subject's, in egress each peer's own.
func (c compiler) allow(namespace string, r rule, subject Pod, direction networkingv1.PolicyType) []Allow {
	to := c.peers(namespace, r.peers)
	if len(r.ports) == 0 {
		return notEmpty(Allow{Peers: to.set})
	}
	var out []Allow
	for _, port := range r.ports {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		switch {
		case port.Port == nil:
			out = append(out, notEmpty(Allow{to.set, protocol, 0, anyPort})...)
		case port.Port.StrVal == "":
			first, last := uint16(port.Port.IntVal), uint16(port.Port.IntVal)
			if port.EndPort != nil {
				last = uint16(*port.EndPort)
			}
			out = append(out, notEmpty(Allow{to.set, protocol, first, last})...)
		case direction == networkingv1.PolicyTypeIngress:
			for _, n := range named(subject, port.Port.StrVal, protocol) {
				out = append(out, notEmpty(Allow{to.set, protocol, n, n})...)
			}
		default:
			byNumber := map[uint16][]Pod{}
			for _, p := range to.pods {
				for _, n := range named(p, port.Port.StrVal, protocol) {
					byNumber[n] = append(byNumber[n], p)
				}
			}
			for n, some := range byNumber {
				out = append(out, notEmpty(Allow{addresses(some), protocol, n, n})...)
			}
		}
	}
	return out
}

// notEmpty leaves out what nobody can use: a rule whose peers aren't there.
func notEmpty(a Allow) []Allow {
	if a.Peers != nil && len(a.Peers.Ranges()) == 0 {
		return nil
	}
	return []Allow{a}
}

// peers works out whom a rule speaks of, once for each rule.
func (c compiler) peers(namespace string, list []networkingv1.NetworkPolicyPeer) peers {
	if len(list) == 0 {
		return peers{pods: c.pods}
	}
	if done, ok := c.known[&list[0]]; ok {
		return done
	}
	var all netipx.IPSetBuilder
	var out peers
	for _, peer := range list {
		if peer.IPBlock != nil {
			all.AddSet(block(peer.IPBlock))
			continue
		}
		out.pods = append(out.pods, c.chosen(namespace, peer)...)
	}
	all.AddSet(addresses(out.pods))
	out.set, _ = all.IPSet() // the builder's errors are those of prefixes, which were valid
	c.known[&list[0]] = out
	return out
}

// chosen are the pods that a peer's selectors choose.
func (c compiler) chosen(namespace string, peer networkingv1.NetworkPolicyPeer) []Pod {
	pods, in := labels.Everything(), func(other string) bool { return other == namespace }
	if peer.PodSelector != nil {
		pods = selector(peer.PodSelector, labels.Nothing())
	}
	if peer.NamespaceSelector != nil {
		namespaces := selector(peer.NamespaceSelector, labels.Nothing())
		in = func(other string) bool {
			set, known := c.namespaces[other]
			return known && namespaces.Matches(set)
		}
	}
	var out []Pod
	for _, p := range c.pods {
		if in(p.Namespace) && pods.Matches(labels.Set(p.Labels)) {
			out = append(out, p)
		}
	}
	return out
}

// block is the IPv4 part of an ipBlock. The API server has checked it; what can't be read counts as empty, and an
// exception that can't, as all of it.
func block(b *networkingv1.IPBlock) *netipx.IPSet {
	var set netipx.IPSetBuilder
	prefix, err := netip.ParsePrefix(b.CIDR)
	if err == nil && prefix.Addr().Is4() {
		set.AddPrefix(prefix)
	}
	for _, e := range b.Except {
		except, err := netip.ParsePrefix(e)
		if err != nil {
			return &netipx.IPSet{}
		}
		set.RemovePrefix(except)
	}
	out, err := set.IPSet()
	if err != nil {
		return &netipx.IPSet{}
	}
	return out
}

func addresses(pods []Pod) *netipx.IPSet {
	var set netipx.IPSetBuilder
	for _, p := range pods {
		set.Add(p.Addr)
	}
	out, _ := set.IPSet() // no prefix, no error
	return out
}

// named are the numbers that a pod's containers, side cars among them, give a port's name.
func named(p Pod, name string, protocol corev1.Protocol) []uint16 {
	containers := slices.Clone(p.Spec.Containers)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	var out []uint16
	for _, c := range containers {
		for _, port := range c.Ports {
			if port.Name == name && cmp.Or(port.Protocol, corev1.ProtocolTCP) == protocol {
				out = append(out, uint16(port.ContainerPort))
			}
		}
	}
	return out
}

func selector(s *metav1.LabelSelector, unreadable labels.Selector) labels.Selector {
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return unreadable
	}
	return out
}

// Why says, for people, which policies isolate a pod in that direction.
func (s Side) Why() string {
	if len(s.Policies) == 1 {
		return "NetworkPolicy " + s.Policies[0]
	}
	return "NetworkPolicies " + strings.Join(s.Policies, ", ")
}
