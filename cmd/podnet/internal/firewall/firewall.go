// Package firewall keeps one nftables table that enforces on a node what package policy worked out, and translates
// the addresses of what pods send out of the cluster. It owns that table, which it replaces as a whole in one
// transaction, and what the kernel remembers of the connections of an address that is given back. It refuses to read a
// cluster, and to touch a rule of others.
//
// The kernel enforces by itself: the rules stay, as they were, when the program that wrote them ends. A connection that
// stands when a policy comes stays.
package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"go4.org/netipx"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/druppie/druppie-up/cmd/podnet/internal/policy"
)

const (
	// Table is the name of the table, of family inet.
	Table = "druppie-network-policy"
	// Group is the netfilter log group to which packets that were refused are copied.
	Group = 100

	// logRate and logBurst bound what is copied there by each rule, in packets a second: a flood must not
	// cost the node more than it costs its sender.
	logRate, logBurst = 10, 50

	// podLink begins the names of the links that the plugin ptp makes for pods.
	podLink = "veth"
)

// Why a packet was refused, as the log says it before the packet.
const (
	Egress  = "egress"  // the sender's policies don't let it out
	Ingress = "ingress" // the receiver's don't let it in
	Unknown = "unknown" // an address of the pods' range that no known pod has
	Spoofed = "spoofed" // a sender's address that isn't the link's
)

// State is what a node is to enforce.
type State struct {
	Range     netip.Prefix   // of this node's pods
	Ranges    []netip.Prefix // of every node's pods, this one's too
	Nodes     []netip.Addr   // of every node
	Pods      []netip.Addr   // of every pod of the cluster
	Endpoints []policy.Endpoint
}

// Apply makes the table say what s says.
func Apply(s State) error {
	c, err := nftables.New(nftables.WithSockOptions(largeBuffers))
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	w := &writer{Conn: c, chains: map[string]bool{}, sets: map[string]*nftables.Set{}}
	// Added first, so that there is one to delete.
	w.table = c.AddTable(&nftables.Table{Name: Table, Family: nftables.TableFamilyINet})
	c.DelTable(w.table)
	c.AddTable(w.table)
	if err := w.write(s); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: replace table %s: %w", Table, err)
	}
	return nil
}

// largeBuffers make room for a table of some thousands of rules, which is sent as one message, and for the kernel's
// answers to each, which all come before the first is read.
func largeBuffers(c *netlink.Conn) error {
	return errors.Join(c.SetWriteBuffer(8<<20), c.SetReadBuffer(8<<20))
}

type writer struct {
	*nftables.Conn
	table  *nftables.Table
	chains map[string]bool
	sets   map[string]*nftables.Set
}

func (w *writer) write(s State) error {
	inRange, err := w.addresses("pod-ranges", prefixes(s.Ranges...))
	if err != nil {
		return err
	}
	own, err := w.addresses("own-pods", prefixes(s.Range))
	if err != nil {
		return err
	}
	pods, err := w.addresses("pods", addresses(s.Pods))
	if err != nil {
		return err
	}
	inside, err := w.addresses("inside", union(prefixes(s.Ranges...), addresses(s.Nodes)))
	if err != nil {
		return err
	}
	self, err := w.self(s.Endpoints)
	if err != nil {
		return err
	}

	// What a pod sends under an address that isn't its own, what bears a pod's address and comes by another way, and
	// IPv6, of which pods have no address that a policy could name: by a link's own they would reach their node past
	// every policy. Before the kernel's tracking, so that none of it keeps a connection alive.
	first := w.base("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	w.refuse(first, Spoofed, from(podLink), v4,
		exprs{&expr.Fib{Register: 1, FlagSADDR: true, FlagIIF: true, ResultOIF: true}, equal(0, 0, 0, 0)})
	w.refuse(first, Spoofed, notFrom(podLink), notFrom("lo\x00"), v4, load(source, 1), lookup(own))
	w.rule(first, from(podLink), v6, drop)

	// A packet that both sides' policies let through passes toPod; every other end of a chain refuses. The kernel takes
	// the contents of a map that is replaced away a moment before its rules, and those of a set not: so behind each map
	// stands a set of who has to be in it.
	toPod := w.AddChain(&nftables.Chain{Name: "to-pod", Table: w.table})
	egress, isolatedOut, err := w.dispatch(Egress, destination, s.Endpoints, exprs{&expr.Verdict{Kind: expr.VerdictGoto, Chain: toPod.Name}},
		refusal{pods: pods, inRange: inRange}, func(e policy.Endpoint) policy.Side { return e.Egress })
	if err != nil {
		return err
	}
	ingress, isolatedIn, err := w.dispatch(Ingress, source, s.Endpoints, accept,
		refusal{pods: pods, inRange: inRange}, func(e policy.Endpoint) policy.Side { return e.Ingress })
	if err != nil {
		return err
	}
	w.rule(toPod, v4, load(destination, 1), verdict(ingress))
	w.rule(toPod, v4, load(destination, 1), lookup(isolatedIn), drop)
	w.rule(toPod, accept)

	// From pods to pods and to everywhere else, and from everywhere else to pods. What the node itself sends to its
	// pods comes by neither chain: the kubelet's probes always pass.
	forward := w.base("forward", nftables.ChainHookForward, nftables.ChainPriorityFilter)
	w.rule(forward, established, accept)
	w.rule(forward, v4, load(source, 1), load(destination, 9), lookup(self), accept)
	w.refuse(forward, Unknown, v4, load(source, 1), lookup(own), lookupNot(pods))
	w.refuse(forward, Unknown, v4, load(destination, 1), lookup(own), lookupNot(pods))
	w.rule(forward, v4, load(source, 1), verdict(egress))
	w.rule(forward, v4, load(source, 1), lookup(isolatedOut), drop)
	w.rule(forward, exprs{&expr.Verdict{Kind: expr.VerdictJump, Chain: toPod.Name}})

	// From pods to their own node: its API server, the ports of others' Services on it.
	input := w.base("input", nftables.ChainHookInput, nftables.ChainPriorityFilter)
	w.rule(input, established, accept)
	w.refuse(input, Unknown, from(podLink), v4, load(source, 1), lookup(own), lookupNot(pods))
	w.rule(input, v4, load(source, 1), verdict(egress))
	w.rule(input, v4, load(source, 1), lookup(isolatedOut), drop)

	// What leaves the cluster bears its node's address, since nobody outside knows the way back. To pods and nodes
	// nothing is translated: policies go by the sender's address, and a pod that asks a node's port stays a pod.
	nat := w.AddChain(&nftables.Chain{Name: "postrouting", Table: w.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	w.rule(nat, v4, load(source, 1), lookup(own), load(destination, 1), lookupNot(inside), exprs{&expr.Masq{}})
	return nil
}

func prefixes(all ...netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range all {
		b.AddPrefix(p)
	}
	set, _ := b.IPSet() // its errors are those of prefixes that aren't valid, and then it holds the others
	return set
}

func addresses(all []netip.Addr) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, a := range all {
		b.Add(a)
	}
	set, _ := b.IPSet()
	return set
}

func union(all ...*netipx.IPSet) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, s := range all {
		b.AddSet(s)
	}
	set, _ := b.IPSet()
	return set
}

// base is a chain that packets come through by themselves. What isn't refused in it passes.
func (w *writer) base(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	pass := nftables.ChainPolicyAccept
	return w.AddChain(&nftables.Chain{Name: name, Table: w.table, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: priority, Policy: &pass})
}

// refusal is what the end of a chain goes by: who is known.
type refusal struct{ pods, inRange *nftables.Set }

// dispatch makes the chains of one direction, the map from a pod's address to its chain, and the set of the addresses
// that are in it. Pods of which the same is left share a chain.
func (w *writer) dispatch(direction string, peer field, endpoints []policy.Endpoint, pass exprs, r refusal, side func(policy.Endpoint) policy.Side) (*nftables.Set, *nftables.Set, error) {
	var elements []nftables.SetElement
	var isolated []netip.Addr
	for _, e := range endpoints {
		s := side(e)
		if !s.Isolated {
			continue
		}
		chain, err := w.chain(direction, peer, s.Allow, pass, r)
		if err != nil {
			return nil, nil, err
		}
		isolated = append(isolated, e.Addr)
		elements = append(elements, nftables.SetElement{Key: e.Addr.AsSlice(), VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: chain}})
	}
	set, err := w.addresses("isolated-"+direction, addresses(isolated))
	if err != nil {
		return nil, nil, err
	}
	to := &nftables.Set{Table: w.table, Name: direction, IsMap: true, KeyType: nftables.TypeIPAddr, DataType: nftables.TypeVerdict}
	return to, set, w.add(to, elements)
}

// chain lets what is allowed pass, and refuses the rest.
func (w *writer) chain(direction string, peer field, allow []policy.Allow, pass exprs, r refusal) (string, error) {
	name := direction + "-" + digest(allow)
	if w.chains[name] {
		return name, nil
	}
	w.chains[name] = true
	chain := w.AddChain(&nftables.Chain{Name: name, Table: w.table})
	for _, a := range allow {
		match := []exprs{v4}
		if a.Peers != nil {
			set, err := w.addresses("peers-"+digest(a.Peers.Ranges()), a.Peers)
			if err != nil {
				return "", err
			}
			match = append(match, load(peer, 1), lookup(set))
		}
		if a.Protocol != "" {
			number, known := protocols[a.Protocol]
			if !known {
				continue // the API has no other
			}
			match = append(match, transport(number), port(a.First, a.Last))
		}
		w.rule(chain, append(match, pass)...)
	}
	// Another node's pod, of which the API server tells a moment after it has begun: it may try again.
	w.rule(chain, v4, load(peer, 1), lookup(r.inRange), lookupNot(r.pods), drop)
	w.refuse(chain, direction)
	return name, nil
}

var protocols = map[corev1.Protocol]byte{
	corev1.ProtocolTCP: unix.IPPROTO_TCP, corev1.ProtocolUDP: unix.IPPROTO_UDP, corev1.ProtocolSCTP: unix.IPPROTO_SCTP,
}

// addresses is a set of addresses, made once.
func (w *writer) addresses(name string, s *netipx.IPSet) (*nftables.Set, error) {
	if set, made := w.sets[name]; made {
		return set, nil
	}
	set := &nftables.Set{Table: w.table, Name: name, KeyType: nftables.TypeIPAddr, Interval: true}
	w.sets[name] = set
	var elements []nftables.SetElement
	for _, r := range s.Ranges() {
		if !r.From().Is4() {
			continue
		}
		elements = append(elements, nftables.SetElement{Key: r.From().AsSlice()})
		if next := r.To().Next(); next.IsValid() { // the last address of all has none: the interval stays open
			elements = append(elements, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
		}
	}
	return set, w.add(set, elements)
}

// add makes a set with its elements, some at a time: a message of the kernel's has room for about 1,600 ranges.
func (w *writer) add(set *nftables.Set, elements []nftables.SetElement) error {
	if err := w.AddSet(set, nil); err != nil {
		return err
	}
	for some := range slices.Chunk(elements, 1000) {
		if err := w.SetAddElements(set, some); err != nil {
			return err
		}
	}
	return nil
}

// self is the set of pairs of a pod's address with itself: no policy keeps a pod from its own ports.
func (w *writer) self(endpoints []policy.Endpoint) (*nftables.Set, error) {
	pair, err := nftables.ConcatSetType(nftables.TypeIPAddr, nftables.TypeIPAddr)
	if err != nil {
		return nil, err
	}
	set := &nftables.Set{Table: w.table, Name: "self", KeyType: pair, Concatenation: true}
	var elements []nftables.SetElement
	for _, e := range endpoints {
		elements = append(elements, nftables.SetElement{Key: slices.Concat(e.Addr.AsSlice(), e.Addr.AsSlice())})
	}
	return set, w.add(set, elements)
}

// refuse copies what matches to the log, within bounds, and tells the sender at once: by a reset where there is one,
// since the kernel sends an unreachable only once a second. What may only be unknown yet, or has no sender to be told,
// is dropped instead: it is sent again.
func (w *writer) refuse(chain *nftables.Chain, why string, match ...exprs) {
	w.rule(chain, append(match, exprs{
		&expr.Limit{Type: expr.LimitTypePkts, Rate: logRate, Unit: expr.LimitTimeSecond, Burst: logBurst},
		&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX | 1<<unix.NFTA_LOG_SNAPLEN, Group: Group, Snaplen: 128, Data: []byte(why)},
	})...)
	if why != Egress && why != Ingress {
		w.rule(chain, append(match, exprs{&expr.Counter{}}, drop)...)
		return
	}
	w.rule(chain, append(match, transport(unix.IPPROTO_TCP), exprs{&expr.Counter{}, &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})...)
	w.rule(chain, append(match, exprs{&expr.Counter{},
		&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})...)
}

func (w *writer) rule(chain *nftables.Chain, parts ...exprs) {
	w.AddRule(&nftables.Rule{Table: w.table, Chain: chain, Exprs: slices.Concat(parts...)})
}

// digest names what is the same by the same name.
func digest(v any) string {
	sum := sha256.Sum256(fmt.Append(nil, v))
	return hex.EncodeToString(sum[:8])
}
