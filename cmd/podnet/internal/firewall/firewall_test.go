package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/cmd/podnet/internal/denied"
	"github.com/druppie/druppie-up/cmd/podnet/internal/policy"
)

// lab is a node in a network namespace of its own, with pods linked as the plugin ptp does it and a host outside.
type lab struct {
	t    testing.TB
	node netns.NsHandle
	in   map[string]netns.NsHandle
	addr map[string]netip.Addr
}

const outsideAddr, nodeAddr = "192.0.2.9", "192.0.2.1"

// newLab wants root and the command ip; without them the test says what it leaves out.
func newLab(t testing.TB, pods ...string) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("left out: network namespaces want root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("left out: the command ip isn't here (Debian: iproute2)")
	}
	l := &lab{t: t, in: map[string]netns.NsHandle{}, addr: map[string]netip.Addr{}}
	prefix := fmt.Sprintf("druppie-%d-", os.Getpid())
	add := func(name string) netns.NsHandle {
		l.ip("netns", "add", prefix+name)
		t.Cleanup(func() { l.ip("netns", "del", prefix+name) })
		l.ip("-n", prefix+name, "link", "set", "lo", "up")
		h, err := netns.GetFromName(prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		l.in[name] = h
		return h
	}
	l.node = add("node")
	link := func(name, inside, outside string) {
		add(name)
		l.ip("link", "add", outside, "netns", prefix+"node", "type", "veth", "peer", "name", "eth0", "netns", prefix+name)
		l.ip("-n", prefix+name, "addr", "add", inside+"/32", "dev", "eth0")
		l.ip("-n", prefix+name, "link", "set", "eth0", "up")
		l.ip("-n", prefix+"node", "link", "set", outside, "up")
		l.ip("-n", prefix+"node", "route", "add", inside+"/32", "dev", outside)
		l.addr[name] = netip.MustParseAddr(inside)
	}
	for i, pod := range pods {
		link(pod, fmt.Sprintf("10.9.0.%d", i+2), fmt.Sprintf("veth%d", i))
		l.ip("-n", prefix+"node", "addr", "add", "10.9.0.1/32", "dev", fmt.Sprintf("veth%d", i))
		l.ip("-n", prefix+pod, "route", "add", "10.9.0.1/32", "dev", "eth0")
		l.ip("-n", prefix+pod, "route", "add", "default", "via", "10.9.0.1")
	}
	link("outside", outsideAddr, "eth0")
	l.ip("-n", prefix+"node", "addr", "add", nodeAddr+"/32", "dev", "eth0")
	l.ip("-n", prefix+"outside", "route", "add", nodeAddr+"/32", "dev", "eth0")
	l.ip("-n", prefix+"outside", "route", "add", "10.9.0.0/24", "via", nodeAddr)
	l.ip("netns", "exec", prefix+"node", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	l.addr["node"] = netip.MustParseAddr(nodeAddr)
	return l
}

func (l *lab) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// within runs f where the sockets that it makes are in that namespace.
func (l *lab) within(h netns.NsHandle, f func()) {
	l.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := netns.Set(h)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) apply(s State) {
	l.t.Helper()
	s.Range = netip.MustParsePrefix("10.9.0.0/24")
	s.Ranges = append(s.Ranges, s.Range)
	l.within(l.node, func() {
		if err := Apply(s); err != nil {
			l.t.Fatal(err)
		}
	})
}

// listen answers every connection to a port of a namespace with the caller's address.
func (l *lab) listen(name string, port int) {
	l.t.Helper()
	l.within(l.in[name], func() {
		ln, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			l.t.Fatal(err)
		}
		l.t.Cleanup(func() { _ = ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte(conn.RemoteAddr().(*net.TCPAddr).IP.String()))
				_ = conn.Close()
			}
		}()
	})
}

// dial connects, and returns who the other side says is calling.
func (l *lab) dial(from, to string, port int) (string, error) {
	l.t.Helper()
	return l.dialAddr(from, net.JoinHostPort(l.addr[to].String(), fmt.Sprint(port)))
}

func (l *lab) dialAddr(from, addr string) (caller string, err error) {
	l.t.Helper()
	l.within(l.in[from], func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", addr, 700*time.Millisecond); err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 64)
		var n int
		n, err = conn.Read(buf)
		caller = string(buf[:n])
	})
	return caller, err
}

// endpoints are the lab's pods with what the policies of their one namespace leave of them.
func (l *lab) endpoints(policies ...string) State {
	l.t.Helper()
	c := policy.Cluster{Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}}
	var s State
	for name, addr := range l.addr {
		if addr.As4()[0] != 10 {
			continue
		}
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, Labels: map[string]string{"app": name}}}
		p.Spec.NodeName = "n"
		c.Pods = append(c.Pods, policy.Pod{Pod: p, Addr: addr})
		s.Pods = append(s.Pods, addr)
	}
	for i, spec := range policies {
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint("p", i)}}
		if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
			l.t.Fatal(err)
		}
		c.Policies = append(c.Policies, p)
	}
	s.Endpoints = policy.Compile(c, "n")
	return s
}

const (
	denyAll   = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
	webFromA  = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}], ports: [{port: 80}, {port: 90, endPort: 99}]}]}"
	aToWeb    = "{podSelector: {matchLabels: {app: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}"
	bToAll    = "{podSelector: {matchLabels: {app: b}}, policyTypes: [Egress], egress: [{}]}"
	bToBlock  = "{podSelector: {matchLabels: {app: b}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.1/32]}}]}]}"
	webFromIP = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.9/32}}]}]}"
)

// TestEnforced tries each connection before there are rules, when it must pass, and under policies.
func TestEnforced(t *testing.T) {
	l := newLab(t, "web", "a", "b")
	for _, name := range []string{"web", "b"} {
		l.listen(name, 80)
	}
	for _, port := range []int{81, 90, 99, 100} {
		l.listen("web", port)
	}
	l.listen("node", 80)
	l.listen("outside", 80)

	type try struct {
		from, to string
		port     int
	}
	all := []try{
		{"a", "web", 80}, {"a", "web", 81}, {"a", "web", 90}, {"a", "web", 99}, {"a", "web", 100}, {"b", "web", 80}, {"a", "b", 80},
		{"a", "node", 80}, {"b", "node", 80}, {"a", "outside", 80}, {"b", "outside", 80}, {"outside", "web", 80}, {"node", "web", 80}, {"web", "web", 80},
	}
	for _, tt := range []struct {
		name     string
		policies []string
		passes   []try
	}{
		{"no policy", nil, all},
		{"deny all", []string{denyAll}, []try{{"node", "web", 80}, {"web", "web", 80}}},
		{"named peers and ports", []string{denyAll, webFromA, aToWeb},
			[]try{{"a", "web", 80}, {"a", "web", 90}, {"a", "web", 99}, {"node", "web", 80}, {"web", "web", 80}}},
		{"both ends must allow", []string{denyAll, webFromA, bToAll},
			[]try{{"b", "node", 80}, {"b", "outside", 80}, {"node", "web", 80}, {"web", "web", 80}}},
		{"blocks", []string{denyAll, bToBlock, webFromIP},
			[]try{{"b", "outside", 80}, {"outside", "web", 80}, {"node", "web", 80}, {"web", "web", 80}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l.apply(l.endpoints(tt.policies...))
			for _, c := range all {
				want := false
				for _, p := range tt.passes {
					want = want || p == c
				}
				caller, err := l.dial(c.from, c.to, c.port)
				if (err == nil) != want {
					t.Errorf("%v: %v", c, err)
				}
				if err == nil && c.to == "outside" && caller != nodeAddr {
					t.Errorf("%v: outside sees %s, not the node", c, caller)
				}
				if err == nil && c.to == "web" && c.from == "a" && caller != l.addr["a"].String() {
					t.Errorf("%v: the pod sees %s, not the pod that calls", c, caller)
				}
			}
		})
	}
}

// TestRefusalIsTold: the sender hears at once, and the log has the packet and why.
func TestRefusalIsTold(t *testing.T) {
	l := newLab(t, "web", "a", "b")
	l.listen("web", 80)
	l.apply(l.endpoints(denyAll, bToAll))
	packets := make(chan denied.Packet, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	l.within(l.node, func() {
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			if err := netns.Set(l.node); err != nil {
				t.Error(err)
			}
			close(started)
			ended <- denied.Listen(ctx, Group, func(p denied.Packet) { packets <- p })
		}()
		<-started
	})
	time.Sleep(200 * time.Millisecond) // the log has no way to say that it listens
	for _, tt := range []struct{ from, why string }{{"a", Egress}, {"b", Ingress}} {
		began := time.Now()
		_, err := l.dial(tt.from, "web", 80)
		var timeout net.Error
		if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("from %s: %v after %s, and not refused at once", tt.from, err, time.Since(began))
		}
		want := denied.Packet{Why: tt.why, From: l.addr[tt.from], To: l.addr["web"], Protocol: corev1.ProtocolTCP, Port: 80}
		select {
		case got := <-packets:
			if got != want {
				t.Errorf("told %v, want %v", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("from %s: the log has nothing", tt.from)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestOnlyItsOwnAddress: a pod can't send under another's address, under one that no pod has, or by IPv6. Each way
// is tried first without rules, when it works.
func TestOnlyItsOwnAddress(t *testing.T) {
	l := newLab(t, "web", "a", "b")
	prefix := fmt.Sprintf("druppie-%d-", os.Getpid())
	l.ip("-n", prefix+"a", "addr", "add", l.addr["b"].String()+"/32", "dev", "lo")
	l.ip("-n", prefix+"a", "addr", "add", "10.9.0.77/32", "dev", "lo")
	l.ip("-n", prefix+"node", "addr", "add", "fe80::1/64", "dev", "veth1", "nodad")
	l.ip("-n", prefix+"a", "addr", "add", "fe80::2/64", "dev", "eth0", "nodad")
	l.listen("node", 80)

	var inbox net.PacketConn
	l.within(l.in["web"], func() {
		var err error
		if inbox, err = net.ListenPacket("udp4", ":53"); err != nil {
			t.Fatal(err)
		}
	})
	defer inbox.Close()
	arrives := func(as string) bool {
		t.Helper()
		l.within(l.in["a"], func() { send(t, as, l.addr["web"].String()) })
		return receives(t, inbox, as)
	}
	own, others, nobodys := l.addr["a"].String(), l.addr["b"].String(), "10.9.0.77"
	for _, as := range []string{own, others, nobodys} {
		if !arrives(as) {
			t.Fatalf("without rules nothing arrives as %s, so that nothing is shown", as)
		}
	}
	if _, err := l.dialAddr("a", "[fe80::1%eth0]:80"); err != nil {
		t.Fatalf("without rules the node isn't reached by IPv6, so that nothing is shown: %v", err)
	}

	outside := func() bool {
		t.Helper()
		l.within(l.in["outside"], func() { send(t, others, l.addr["web"].String()) })
		return receives(t, inbox, others)
	}
	l.ip("-n", prefix+"outside", "addr", "add", others+"/32", "dev", "lo")
	if !outside() {
		t.Fatal("without rules nothing arrives from outside as a pod, so that nothing is shown")
	}

	l.apply(l.endpoints())
	if outside() {
		t.Error("outside sent as a pod")
	}
	if !arrives(own) {
		t.Error("nothing arrives from the pod's own address")
	}
	for _, as := range []string{others, nobodys} {
		if arrives(as) {
			t.Errorf("a pod sent as %s", as)
		}
	}
	if _, err := l.dialAddr("a", "[fe80::1%eth0]:80"); err == nil {
		t.Error("a pod reached its node by IPv6")
	}
}

// TestUnknownPodIsClosed: an address that podnet hasn't been told of neither sends nor is sent to.
func TestUnknownPodIsClosed(t *testing.T) {
	l := newLab(t, "web", "new")
	l.listen("web", 80)
	l.listen("new", 80)
	s := l.endpoints()
	l.apply(s)
	if _, err := l.dial("new", "web", 80); err != nil {
		t.Fatalf("a known pod: %v", err)
	}
	s.Pods = []netip.Addr{l.addr["web"]}
	l.apply(s)
	if _, err := l.dial("new", "web", 80); err == nil {
		t.Error("an unknown address sent")
	}
	if _, err := l.dial("web", "new", 80); err == nil {
		t.Error("an unknown address was sent to")
	}
}

// TestReplacedWithoutGap: while the rules are replaced again and again, no connection that they refuse gets through.
func TestReplacedWithoutGap(t *testing.T) {
	l := newLab(t, "web", "a")
	l.listen("web", 80)
	if _, err := l.dial("a", "web", 80); err != nil {
		t.Fatalf("without rules: %v", err)
	}
	s := l.endpoints(denyAll)
	l.apply(s)
	stop := make(chan struct{})
	replaced := make(chan int)
	go func() {
		runtime.LockOSThread()
		n := 0
		defer func() { replaced <- n }()
		if err := netns.Set(l.node); err != nil {
			t.Error(err)
			return
		}
		s.Range = netip.MustParsePrefix("10.9.0.0/24")
		s.Ranges = []netip.Prefix{s.Range}
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := Apply(s); err != nil {
				t.Error(err)
				return
			}
			n++
		}
	}()
	for range 200 {
		if _, err := l.dial("a", "web", 80); err == nil {
			t.Error("a connection got through while the rules were replaced")
			break
		}
	}
	close(stop)
	t.Logf("replaced %d times", <-replaced)
}

// send sends a packet of UDP that says its sender's address.
func send(t *testing.T, as, to string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(as), Port: 5353}}
	conn, err := d.Dial("udp4", net.JoinHostPort(to, "53"))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(as)); err != nil {
		t.Error(err)
	}
}

func receives(t *testing.T, inbox net.PacketConn, from string) bool {
	t.Helper()
	if err := inbox.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, _, err := inbox.ReadFrom(buf)
	return err == nil && string(buf[:n]) == from
}

// TestForgotten: a connection that the kernel knows passes rules that came later, until the address is given back.
func TestForgotten(t *testing.T) {
	l := newLab(t, "web", "a")
	var inbox net.PacketConn
	l.within(l.in["web"], func() {
		var err error
		if inbox, err = net.ListenPacket("udp4", ":53"); err != nil {
			t.Fatal(err)
		}
	})
	defer inbox.Close()
	a := l.addr["a"].String()
	try := func() bool {
		t.Helper()
		l.within(l.in["a"], func() { send(t, a, l.addr["web"].String()) })
		return receives(t, inbox, a)
	}
	l.apply(l.endpoints())
	if !try() {
		t.Fatal("an allowed packet doesn't arrive")
	}
	if _, err := inbox.WriteTo([]byte("answer"), &net.UDPAddr{IP: net.ParseIP(a), Port: 5353}); err != nil {
		t.Fatal(err)
	}
	l.apply(l.endpoints(denyAll))
	if !try() {
		t.Fatal("a known connection doesn't go on, so that nothing is shown")
	}
	l.within(l.node, func() {
		if err := Forget(l.addr["web"]); err != nil {
			t.Fatal(err)
		}
	})
	if try() {
		t.Error("a connection of before goes on after the address was given back")
	}
}

// TestManyRules: a table of many chains, and a set of many ranges, are taken by the kernel as a whole.
func TestManyRules(t *testing.T) {
	l := newLab(t)
	blocks := make([]string, 2000)
	for i := range blocks {
		blocks[i] = fmt.Sprintf("%d.%d.1.0/24", 11+i/250, i%250)
	}
	many := fmt.Sprintf("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [%s]}}]}]}", strings.Join(blocks, ", "))
	l.addr["p"] = netip.MustParseAddr("10.9.0.5")
	s := l.endpoints(many)
	for i := range 500 {
		e := s.Endpoints[0]
		e.Addr = netip.AddrFrom4([4]byte{10, 9, byte(1 + i/250), byte(i%250 + 1)})
		e.Ingress.Allow = []policy.Allow{{Protocol: corev1.ProtocolTCP, First: uint16(i + 1), Last: uint16(i + 1)}}
		s.Endpoints = append(s.Endpoints, e)
		s.Pods = append(s.Pods, e.Addr)
	}
	l.apply(s)
	l.apply(s)
}
