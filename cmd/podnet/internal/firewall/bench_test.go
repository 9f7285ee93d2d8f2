package firewall

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/cmd/podnet/internal/policy"
)

// fifty is a node with fifty services: each in a namespace of its own, with two pods, the platform's policies and two
// of its own.
func fifty(b *testing.B) policy.Cluster {
	var c policy.Cluster
	for n := range 50 {
		namespace := fmt.Sprintf("tenant-%d", n)
		c.Namespaces = append(c.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"kubernetes.io/metadata.name": namespace}}})
		for i := range 2 {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprint("web-", i), Labels: map[string]string{"app": "web"}}}
			p.Spec.NodeName = "n"
			c.Pods = append(c.Pods, policy.Pod{Pod: p, Addr: netip.AddrFrom4([4]byte{10, 9, 0, byte(100 + 2*n%100 + i)})})
		}
		peer := fmt.Sprintf("tenant-%d", (n+1)%50)
		for i, spec := range []string{
			denyAll,
			"{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.9.0.53/32}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}]}",
			"{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}",
			"{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + peer + "}}, podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]}",
			"{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + peer + "}}, podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]}",
		} {
			p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprint("p", i)}}
			if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
				b.Fatal(err)
			}
			c.Policies = append(c.Policies, p)
		}
	}
	return c
}

func stateOf(c policy.Cluster) State {
	s := State{Endpoints: policy.Compile(c, "n")}
	for _, p := range c.Pods {
		s.Pods = append(s.Pods, p.Addr)
	}
	return s
}

// BenchmarkFiftyServices works out the policies of fifty services and puts them in place, all of them anew, as podnet does
// at every change.
func BenchmarkFiftyServices(b *testing.B) {
	l := newLab(b)
	c := fifty(b)
	for b.Loop() {
		l.apply(stateOf(c))
	}
}

// BenchmarkConnect makes a connection between two pods, on a node without any rules, and on one with those of fifty
// services and of these two.
func BenchmarkConnect(b *testing.B) {
	for _, with := range []string{"no", "fifty services'"} {
		b.Run("with "+with+" policies", func(b *testing.B) {
			l := newLab(b, "web", "a")
			l.listen("web", 80)
			if with != "no" {
				own := l.endpoints(denyAll, webFromA, aToWeb)
				s := stateOf(fifty(b))
				s.Endpoints, s.Pods = append(s.Endpoints, own.Endpoints...), append(s.Pods, own.Pods...)
				l.apply(s)
			}
			address := net.JoinHostPort(l.addr["web"].String(), "80")
			var failed error
			l.within(l.in["a"], func() {
				for b.Loop() && failed == nil {
					var conn net.Conn
					if conn, failed = net.DialTimeout("tcp", address, time.Second); failed == nil {
						_ = conn.Close()
					}
				}
			})
			if failed != nil {
				b.Fatal(failed)
			}
		})
	}
}
