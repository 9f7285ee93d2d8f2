package main

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/druppie/druppie-up/cmd/podnet/internal/cni"
	"github.com/druppie/druppie-up/cmd/podnet/internal/denied"
	"github.com/druppie/druppie-up/cmd/podnet/internal/firewall"
	"github.com/druppie/druppie-up/cmd/podnet/internal/policy"
	"github.com/druppie/druppie-up/internal/names"
)

func runs(name, on, addr string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name)}}
	p.Spec.NodeName, p.Status.PodIP, p.Status.Phase = on, addr, corev1.PodRunning
	for _, f := range change {
		f(p)
	}
	return p
}

func view(t *testing.T, objects ...runtime.Object) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	n, err := newNode(ctx, fake.NewClientset(objects...), "a", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); n.close() })
	return n
}

// TestAddresses: whose an address is, of what the API server tells and the runtime did.
func TestAddresses(t *testing.T) {
	here, there := standing("a", "10.244.0.0/24", "172.18.0.2"), standing("b", "10.244.1.0/24", "172.18.0.3")
	ended := func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }
	onHost := func(p *corev1.Pod) { p.Spec.HostNetwork = true }
	made := func(uid, addr string) network {
		e := cni.Endpoint{UID: uid}
		if addr != "" {
			e.Address = netip.MustParseAddr(addr)
		}
		return network{e}
	}
	for _, tt := range []struct {
		name     string
		pods     []runtime.Object
		networks []network
		want     string
	}{
		{name: "as told", pods: []runtime.Object{runs("x", "a", "10.244.0.5"), runs("y", "b", "10.244.1.5")}, want: "10.244.0.5 x, 10.244.1.5 y"},
		{name: "ended, or the node's own", pods: []runtime.Object{runs("x", "a", "10.244.0.5", ended), runs("y", "a", "172.18.0.2", onHost)}},
		{name: "not told yet", pods: []runtime.Object{runs("x", "a", "")}},
		{name: "made here and not told yet", pods: []runtime.Object{runs("x", "a", "")}, networks: []network{made("uid-x", "10.244.0.6")}, want: "10.244.0.6 x"},
		{name: "given back and still told", pods: []runtime.Object{runs("x", "a", "10.244.0.5")}, networks: []network{made("uid-x", "")}},
		{name: "given to another", pods: []runtime.Object{runs("x", "a", "10.244.0.5"), runs("y", "a", "")},
			networks: []network{made("uid-y", "10.244.0.5")}, want: "10.244.0.5 y"},
		{name: "of another node's range", pods: []runtime.Object{runs("x", "b", "10.244.0.5")}},
		{name: "of a node that isn't there", pods: []runtime.Object{runs("x", "c", "10.244.2.5")}},
		{name: "claimed twice elsewhere", pods: []runtime.Object{runs("x", "b", "10.244.1.5"), runs("y", "b", "10.244.1.5")}},
		{name: "claimed three times elsewhere", pods: []runtime.Object{runs("x", "b", "10.244.1.5"), runs("y", "b", "10.244.1.5"), runs("z", "b", "10.244.1.5")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := view(t, append(tt.pods, here, there)...)
			for _, made := range tt.networks {
				n.networks[made.UID] = made
			}
			c, err := n.cluster(map[string]netip.Prefix{"a": netip.MustParsePrefix("10.244.0.0/24"), "b": netip.MustParsePrefix("10.244.1.0/24")})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range c.Pods {
				got = append(got, p.Addr.String()+" "+p.Name)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, ", ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBehind: a pod doesn't start on what was told before its policies were made.
func TestBehind(t *testing.T) {
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "deny", Generation: 1, UID: "p"}}
	n := view(t, runs("x", "a", ""), p)
	ask := func(uid string) string {
		t.Helper()
		waiting, err := n.behind(t.Context(), cni.Endpoint{Namespace: "ns", Name: "x", UID: uid})
		if err != nil {
			t.Fatal(err)
		}
		return waiting
	}
	if got := ask("uid-x"); got != "" {
		t.Errorf("waits for %s", got)
	}
	if got := ask("of the pod before"); got != "pod ns/x" {
		t.Errorf("waits for %q, not for the pod", got)
	}
	if got := view(t, runs("x", "", ""), p); got.knows(cni.Endpoint{Namespace: "ns", Name: "x", UID: "uid-x"}) {
		t.Error("a pod that hasn't been told to be here is known")
	}
	// The API server has it and the watch hasn't told yet.
	n.client = fake.NewClientset(&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "new", UID: "q"}})
	if got := ask("uid-x"); got != "network policy ns/new" {
		t.Errorf("waits for %q, not for the new policy", got)
	}
	changed := p.DeepCopy()
	changed.Generation = 2
	n.client = fake.NewClientset(changed)
	if got := ask("uid-x"); got != "network policy ns/deny" {
		t.Errorf("waits for %q, not for the changed policy", got)
	}
}

// TestSame: what nobody looks at wakes nobody.
func TestSame(t *testing.T) {
	pod, machine := runs("x", "a", "10.244.0.5"), standing("a", "10.244.0.0/24", "172.18.0.2")
	for name, tt := range map[string]struct {
		now  any
		want bool
	}{
		"a pod's heartbeat":   {runs("x", "a", "10.244.0.5", func(p *corev1.Pod) { p.ResourceVersion = "2" }), true},
		"its label":           {runs("x", "a", "10.244.0.5", func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }), false},
		"its address":         {runs("x", "a", "10.244.0.6"), false},
		"its end":             {runs("x", "a", "10.244.0.5", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), false},
		"another of its name": {runs("x", "a", "10.244.0.5", func(p *corev1.Pod) { p.UID = "2" }), false},
	} {
		if same(pod, tt.now) != tt.want {
			t.Errorf("%s: same is %v", name, !tt.want)
		}
	}
	beat := machine.DeepCopy()
	beat.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady}}
	if !same(machine, beat) || same(machine, standing("a", "10.244.0.0/24", "172.18.0.9")) || same(&networkingv1.NetworkPolicy{}, &networkingv1.NetworkPolicy{}) {
		t.Error("a node's heartbeat, its address, or a policy")
	}
}

// TestEvent: a refusal is told to the pod whose policies refused it, with who, where, and what would allow it.
func TestEvent(t *testing.T) {
	n := &node{owners: map[netip.Addr]string{}}
	for name, addr := range map[string]string{"client": "10.244.0.5", "server": "10.244.0.9"} {
		a := netip.MustParseAddr(addr)
		n.owners[a] = "ns/" + name
		e := policy.Endpoint{Pod: policy.Pod{Pod: runs(name, "a", addr), Addr: a}}
		e.Egress.Policies, e.Ingress.Policies = []string{"default-deny", "dns"}, []string{"default-deny"}
		n.state.Endpoints = append(n.state.Endpoints, e)
	}
	packet := denied.Packet{Why: firewall.Egress, From: netip.MustParseAddr("10.244.0.5"), To: netip.MustParseAddr("10.244.0.9"), Protocol: "TCP", Port: 80}
	for _, tt := range []struct{ why, about, reason, message string }{
		{firewall.Egress, "client", names.EgressRefused, "connection to ns/server (10.244.0.9), port 80/TCP, refused: NetworkPolicies default-deny, dns of namespace ns"},
		{firewall.Ingress, "server", names.IngressRefused, "connection from ns/client (10.244.0.5) to port 80/TCP refused: NetworkPolicy default-deny of namespace ns"},
		{firewall.Unknown, "client", names.AddressRefused, "was dropped: no pod that is known has that address"},
	} {
		packet.Why = tt.why
		e, ok := n.event(packet)
		if !ok {
			t.Fatalf("%s: not told", tt.why)
		}
		if about := e.InvolvedObject.Name; about != tt.about || e.Reason != tt.reason || !strings.Contains(e.Message, tt.message) {
			t.Errorf("%s: %s of %s: %s", tt.why, e.Reason, about, e.Message)
		}
	}
	for _, to := range []string{"1.2.3.4", "10.244.0.9"} { // whose policies refused it has gone
		if _, ok := n.event(denied.Packet{Why: firewall.Egress, From: netip.MustParseAddr("10.244.0.77"), To: netip.MustParseAddr(to)}); ok {
			t.Errorf("to %s: told of nobody", to)
		}
	}
}

// TestNews: the same isn't told twice a minute, and neither one sender nor all can take all the room.
func TestNews(t *testing.T) {
	r := &reporter{told: map[denied.Packet]time.Time{}}
	now := time.Unix(0, 0)
	packet := func(from, port int) denied.Packet {
		return denied.Packet{From: netip.AddrFrom4([4]byte{10, 0, 0, byte(from)}), Port: uint16(port)}
	}
	told := 0
	news := func(p denied.Packet, at time.Time) bool {
		ok := r.news(p, at)
		if ok {
			told++
		}
		return ok
	}
	if !news(packet(1, 1), now) || news(packet(1, 1), now.Add(quiet-1)) || !news(packet(1, 1), now.Add(quiet)) {
		t.Error("the same: once a minute")
	}
	told = 0
	for host := range 200 {
		p := packet(host, 9)
		p.Why = firewall.Spoofed
		news(p, now.Add(quiet))
	}
	if told != 1 {
		t.Errorf("%d packets of a borrowed address to one port are told", told)
	}
	told = 0
	for port := range 1000 {
		news(packet(2, port), now.Add(quiet))
	}
	if told != most || !r.isFull(packet(2, 0).From) || r.isFull(packet(3, 0).From) || !news(packet(3, 1), now.Add(quiet)) {
		t.Errorf("%d of one sender are told", told)
	}
	told = 0
	for host := range 200 {
		news(packet(host, 7), now.Add(2*quiet))
	}
	if told != ofAll || !r.isFull(packet(250, 0).From) {
		t.Errorf("%d of all senders are told", told)
	}
}

// TestReport: each refusal becomes an Event of its own, however many of one pod there were, with all that it is about.
func TestReport(t *testing.T) {
	client := fake.NewClientset()
	n := &node{name: "a", nodes: corelisters.NewNodeLister(cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil))}
	from := netip.MustParseAddr("10.244.0.5")
	n.state.Endpoints = []policy.Endpoint{{Pod: policy.Pod{Pod: runs("client", "a", from.String()), Addr: from}}}
	client.PrependReactor("create", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
		e := action.(clienttesting.CreateAction).GetObject().(*corev1.Event)
		e.Name = e.GenerateName + e.Annotations[names.AnnotationPort][len("port "):]
		return false, nil, nil // stored as usual
	})
	r := newReporter(client, n, slog.New(slog.DiscardHandler))
	packet := denied.Packet{Why: firewall.Egress, From: from, To: netip.MustParseAddr("1.2.3.4"), Protocol: "TCP"}
	for packet.Port = range uint16(10 * most) {
		r.report(packet)
		if packet.Port%most == most-1 { // a minute later
			clear(r.told)
			for range most {
				if err := r.write(t.Context(), <-r.queue); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	events, err := client.CoreV1().Events("ns").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(events.Items) != 10*most {
		t.Fatalf("%d Events: %v", len(events.Items), err)
	}
	last := 0
	for _, e := range events.Items {
		if e.Source.Component != names.NetworkReporter || e.Reason != names.EgressRefused || e.InvolvedObject.UID != "uid-client" || e.Annotations[names.AnnotationPeer] != "1.2.3.4" || e.LastTimestamp.IsZero() {
			t.Errorf("an Event of %q: %+v", e.Source.Component, e)
		}
		if strings.Contains(e.Message, "More that are refused within the minute may not be told") {
			last++
		}
	}
	if last != 10 {
		t.Errorf("%d Events say that more aren't told", last)
	}
}
