package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func pod(namespace, name, addr string, ports ...corev1.ContainerPort) Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}}}
	p.Spec.NodeName = "n"
	p.Spec.Containers = []corev1.Container{{Ports: ports}}
	return Pod{p, netip.MustParseAddr(addr)}
}

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/metadata.name": name}}}
}

// TestCompile holds each rule of the API's documentation: what is left of pod a/web, with a/db, b/web and b/db beside it.
func TestCompile(t *testing.T) {
	http := corev1.ContainerPort{Name: "http", ContainerPort: 8080}
	pods := []Pod{
		pod("a", "web", "10.0.0.1", http), pod("a", "db", "10.0.0.2", corev1.ContainerPort{Name: "http", ContainerPort: 81}),
		pod("b", "web", "10.0.1.1"), pod("b", "db", "10.0.1.2", corev1.ContainerPort{Name: "http", ContainerPort: 82, Protocol: corev1.ProtocolUDP}),
	}
	tests := []struct{ name, spec, ingress, egress string }{
		{name: "no policy", ingress: "open", egress: "open"},
		{name: "another's", spec: "podSelector: {matchLabels: {app: db}}", ingress: "open", egress: "open"},
		{name: "types left out", spec: "podSelector: {}", ingress: "none", egress: "open"},
		{name: "types left out, with egress", spec: "{podSelector: {}, egress: [{}]}", ingress: "none", egress: "any"},
		{name: "deny both", spec: "{podSelector: {}, policyTypes: [Ingress, Egress]}", ingress: "none", egress: "none"},
		{name: "an empty list of rules is none", spec: "{podSelector: {}, policyTypes: [Ingress], ingress: []}", ingress: "none", egress: "open"},
		{name: "an empty rule is all", spec: "{podSelector: {}, policyTypes: [Ingress], ingress: [{}]}", ingress: "any", egress: "open"},
		{name: "pods of the namespace", spec: "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}",
			ingress: "[10.0.0.2-10.0.0.2]", egress: "open"},
		{name: "all pods of another namespace", spec: "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: b}}}]}]}",
			ingress: "[10.0.1.1-10.0.1.2]", egress: "open"},
		{name: "both selectors of one peer", spec: "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}]}]}",
			ingress: "[10.0.0.2-10.0.0.2 10.0.1.2-10.0.1.2]", egress: "open"},
		{name: "two peers are either", spec: "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}, {ipBlock: {cidr: 1.2.3.0/24}}]}]}",
			ingress: "[1.2.3.0-1.2.3.255 10.0.0.2-10.0.0.2]", egress: "open"},
		{name: "a block with exceptions", spec: "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.0/25]}}]}], policyTypes: [Egress]}",
			ingress: "open", egress: "[10.0.0.128-10.0.0.255]"},
		{name: "an exception is of its own block", spec: "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.0/24]}}, {ipBlock: {cidr: 10.0.0.7/32}}]}], policyTypes: [Egress]}",
			ingress: "open", egress: "[10.0.0.7-10.0.0.7]"},
		{name: "a block of IPv6 reaches nobody", spec: "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: '::/0'}}]}], policyTypes: [Egress]}",
			ingress: "open", egress: "none"},
		{name: "nobody there", spec: "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: gone}}}]}]}", ingress: "none", egress: "open"},
		{name: "a selector that can't be read: of the subject all, of a peer none",
			spec:    "{podSelector: {matchExpressions: [{key: app, operator: Hm}]}, ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: Hm}]}}]}]}",
			ingress: "none", egress: "open"},
		{name: "ports", spec: "{podSelector: {}, ingress: [{ports: [{port: 80}, {protocol: UDP, port: 53}, {port: 100, endPort: 200}, {protocol: SCTP}]}]}",
			ingress: "any SCTP 0-65535, any TCP 100-200, any TCP 80-80, any UDP 53-53", egress: "open"},
		{name: "a named port of its own", spec: "{podSelector: {}, ingress: [{ports: [{port: http}]}]}", ingress: "any TCP 8080-8080", egress: "open"},
		{name: "a named port of another protocol", spec: "{podSelector: {}, ingress: [{ports: [{port: http, protocol: UDP}]}]}", ingress: "none", egress: "open"},
		{name: "a named port of each peer", spec: "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}, {port: http, protocol: UDP}]}]}",
			ingress: "open", egress: "[10.0.0.1-10.0.0.1] TCP 8080-8080, [10.0.0.2-10.0.0.2] TCP 81-81, [10.0.1.2-10.0.1.2] UDP 82-82"},
		{name: "a named port of anybody is that of each pod", spec: "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}",
			ingress: "open", egress: "[10.0.0.1-10.0.0.1] TCP 8080-8080, [10.0.0.2-10.0.0.2] TCP 81-81"},
		{name: "the same twice is once", spec: "{podSelector: {}, ingress: [{ports: [{port: 80}]}, {ports: [{port: 80}]}]}", ingress: "any TCP 80-80", egress: "open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Cluster{Pods: pods, Namespaces: []*corev1.Namespace{namespace("a"), namespace("b")}}
			if tt.spec != "" {
				p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"}}
				if err := yaml.UnmarshalStrict([]byte(tt.spec), &p.Spec); err != nil {
					t.Fatal(err)
				}
				c.Policies = append(c.Policies, p)
			}
			web := Compile(c, "n")[0]
			if diff := cmp.Diff([]string{tt.ingress, tt.egress}, []string{text(web.Ingress), text(web.Egress)}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func text(s Side) string {
	if !s.Isolated {
		return "open"
	}
	var out []string
	for _, a := range s.Allow {
		out = append(out, a.String())
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// TestPoliciesAdd: what a pod may do is the sum of what its policies allow, and all are named.
func TestPoliciesAdd(t *testing.T) {
	c := Cluster{Pods: []Pod{pod("a", "web", "10.0.0.1")}, Namespaces: []*corev1.Namespace{namespace("a")}}
	for _, n := range []string{"two", "one"} {
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: n}}
		port := map[string]int{"one": 1, "two": 2}[n]
		if err := yaml.Unmarshal(fmt.Appendf(nil, "{podSelector: {}, ingress: [{ports: [{port: %d}]}]}", port), &p.Spec); err != nil {
			t.Fatal(err)
		}
		c.Policies = append(c.Policies, p)
	}
	got := Compile(c, "n")[0].Ingress
	if text(got) != "any TCP 1-1, any TCP 2-2" || got.Why() != "NetworkPolicies one, two" {
		t.Errorf("%s by %s", text(got), got.Why())
	}
	if got := Compile(c, "another node"); len(got) != 0 {
		t.Errorf("another node has %v", got)
	}
}
