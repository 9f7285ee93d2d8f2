package conformance_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/policies"
)

// cluster is one that holds the objects of a YAML list.
func cluster(t *testing.T, objects string) conformance.Platform {
	t.Helper()
	kinds := map[schema.GroupVersionResource]string{}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for _, k := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "Node"}, {Version: "v1", Kind: "Pod"}, {Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass"},
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, {Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"},
	} {
		mapper.Add(k, apimeta.RESTScopeRoot)
		mapping, err := mapper.RESTMapping(k.GroupKind(), k.Version)
		if err != nil {
			t.Fatal(err)
		}
		kinds[mapping.Resource] = k.Kind + "List"
	}
	var list []map[string]any
	if err := yaml.Unmarshal([]byte(objects), &list); err != nil {
		t.Fatal(err)
	}
	var all []runtime.Object
	for _, o := range list {
		all = append(all, &unstructured.Unstructured{Object: o})
	}
	return conformance.Platform{Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, all...), Mapper: mapper}
}

const oneNode = `
- {apiVersion: v1, kind: Node, metadata: {name: a, labels: {node-role.kubernetes.io/control-plane: ""}}, status: {addresses: [{type: InternalIP, address: 172.23.0.3}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: api, labels: {component: kube-apiserver}}, spec: {containers: [{image: api, command: [kube-apiserver, "--authorization-mode=Node,RBAC"]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: unlabelled}, spec: {containers: [{image: registry:5000/druppie/vector-drawing}]}}
- {apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: standard}, provisioner: rancher.io/local-path}
- {apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1.apps}}
`

// Every question of the profile is answered both ways: one that can't be answered with no asks nothing.
func TestHavenAsksWhatItSays(t *testing.T) {
	profile, err := conformance.LoadProfile(policies.Haven)
	if err != nil {
		t.Fatal(err)
	}
	const small = "zones deviates, masters deviates, workers deviates, private-network ok, rbac ok, basic-auth ok, read-write-many deviates, certificates deviates, logs not ok, metrics-server not ok"
	const large = `
- {apiVersion: v1, kind: Node, metadata: {name: a, labels: {node-role.kubernetes.io/control-plane: "", topology.kubernetes.io/zone: a}}, status: {addresses: [{type: ExternalIP, address: 198.51.100.1}]}}
- {apiVersion: v1, kind: Node, metadata: {name: b, labels: {node-role.kubernetes.io/control-plane: "", topology.kubernetes.io/zone: b}}, status: {addresses: []}}
- {apiVersion: v1, kind: Node, metadata: {name: c, labels: {node-role.kubernetes.io/control-plane: "", topology.kubernetes.io/zone: b}}, status: {addresses: []}}
- {apiVersion: v1, kind: Node, metadata: {name: d, labels: {topology.kubernetes.io/zone: b}}, status: {addresses: []}}
- {apiVersion: v1, kind: Node, metadata: {name: e, labels: {topology.kubernetes.io/zone: b}}, status: {addresses: []}}
- {apiVersion: v1, kind: Node, metadata: {name: f, labels: {topology.kubernetes.io/zone: b}}, status: {addresses: []}}
- {apiVersion: v1, kind: Pod, metadata: {name: api, labels: {component: kube-apiserver}}, spec: {containers: [{image: api, command: [kube-apiserver, "--authorization-mode=AlwaysAllow,NotRBAC", "--basic-auth-file=/x"]}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: loki}, spec: {containers: [{image: "docker.io/grafana/loki:3"}]}}
- {apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: nfs}, provisioner: nfs.csi.k8s.io}
- {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: certificates.cert-manager.io}}
- {apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1beta1.metrics.k8s.io}, status: {conditions: [{type: Available, status: "True"}]}}
`
	const other = "zones ok, masters ok, workers ok, private-network not ok, rbac not ok, basic-auth not ok, read-write-many ok, certificates ok, logs ok, metrics-server ok"
	for objects, want := range map[string]string{oneNode: small, large: other} {
		answers, err := cluster(t, objects).Ask(t.Context(), profile)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range answers {
			if (a.Outcome == conformance.Deviates || a.Outcome == conformance.NotAsked) == (a.Why.EN == "" || a.Why.NL == "") {
				t.Errorf("%s: %s, and why is %q", a.ID, a.Outcome, a.Why)
			}
			if a.Outcome != conformance.NotAsked {
				got = append(got, a.ID+" "+string(a.Outcome))
			}
		}
		if diff := cmp.Diff(want, strings.Join(got, ", ")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLoadProfileRefusesQuestionsThatAskNothing(t *testing.T) {
	const head = "- {id: a, title: {en: t, nl: t}, "
	tests := []struct{ name, give, want string }{
		{"as it should be", head + `asks: {nodes: {apiVersion: v1, kind: Node}}, holds: "nodes.size() > 2"}`, ""},
		{"neither question nor reason", head + "}", "either a question"},
		{"question and reason", head + `asks: {nodes: {apiVersion: v1, kind: Node}}, holds: "true", unasked: {en: x, nl: x}}`, "either a question"},
		{"a deviation from what isn't asked", head + `unasked: {en: x, nl: x}, deviates: {en: x, nl: x}}`, "either a question"},
		{"what isn't CEL", head + `asks: {nodes: {apiVersion: v1, kind: Node}}, holds: "nodes.size("}`, "requirement a"},
		{"of what it doesn't read", head + `asks: {nodes: {apiVersion: v1, kind: Node}}, holds: "pods.size() > 2"}`, "pods"},
		{"answered with a number", head + `asks: {nodes: {apiVersion: v1, kind: Node}}, holds: "nodes.size()"}`, "not with true or false"},
		{"an id twice", head + "unasked: {en: x, nl: x}}\n" + head + "unasked: {en: x, nl: x}}", "an id of its own"},
		{"a field that isn't one", head + "asked: {}}", "asked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := conformance.LoadProfile([]byte(tt.give))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
