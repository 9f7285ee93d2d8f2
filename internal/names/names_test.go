package names

import (
	"slices"
	"strings"
	"testing"
)

func TestIsPlatform(t *testing.T) {
	for name, want := range map[string]bool{
		"druppie": true, "a": true, "0": true, "a-b": true, strings.Repeat("a", 40): true,
		"": false, strings.Repeat("a", 41): false, "-a": false, "a-": false, "A": false, "a.b": false, "a_b": false, "a\n": false,
	} {
		if IsPlatform(name) != want {
			t.Errorf("IsPlatform(%q) = %v", name, !want)
		}
	}
}

// TestHostsAreThoseOfTheNamespaces: a namespace that is renamed takes its Services' names along.
func TestHostsAreThoseOfTheNamespaces(t *testing.T) {
	for host, s := range map[string]struct{ service, namespace string }{
		GiteaHost: {"gitea", NamespaceGitea}, RegistryHost: {"registry", NamespaceFoundry},
		TraceHost: {"tracedb", NamespaceSystem}, ListenerHost: {"listener", NamespaceFoundry},
	} {
		name, _, _ := strings.Cut(host, ":")
		if want := ServiceHosts(s.service, s.namespace); !slices.Contains(want, name) {
			t.Errorf("%s isn't among %v", host, want)
		}
	}
}
