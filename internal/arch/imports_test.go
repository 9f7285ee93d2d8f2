package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/druppie/druppie-up"

// allowed says, for every package of the module, which others of the module it may import. A trailing
// /... covers what lies below; the first rule that matches counts. A package without a rule fails, so
// that whoever adds one says where it belongs.
var allowed = []struct{ pkg, imports string }{
	// Commands: flags, wiring, and one library call. The programs that go into images and onto the
	// host stay small: they know only what they are the main of.
	{"cmd/druppie-up", "cmd/internal/cli bootstrap bootstrap/... conformance lessons scenarios scenarios/platform manifests policies internal/ui tracedb tracedb/catalog tracedb/client tracedb/register tracedb/export tracedb/why"},
	{"cmd/mirror", "bootstrap/supply/mirror"},
	{"cmd/foundry", "cmd/internal/cli cmd/foundry/... internal/ui tracedb tracedb/client tracedb/register tracedb/register/registertest tracedb/attest"},
	{"cmd/tracedb", "cmd/internal/cli tracedb tracedb/... internal/ui"},
	{"cmd/internal/cli", "internal/ui"},
	{"cmd/podnet", "cmd/podnet/..."},
	{"cmd/podnet/internal/policy", ""},
	{"cmd/podnet/internal/firewall", "cmd/podnet/internal/policy cmd/podnet/internal/denied"},
	{"cmd/podnet/internal/...", ""},
	{"cmd/canary", ""},
	{"cmd/druppie-runc", ""},
	{"cmd/foundry/...", "cmd/foundry/... tracedb tracedb/client tracedb/register tracedb/attest tracedb/redact"},

	// The only orchestrator, and the packages that it orchestrates, which know each other downwards.
	{"bootstrap", "bootstrap/... manifests charts pipelines policies scenarios/drone-service internal/ui"},
	{"bootstrap/component", ""},
	{"bootstrap/pki", "internal/ui"},
	{"bootstrap/host", "internal/ui"},
	{"bootstrap/kube", "internal/ui"},
	// The store knows nothing of what fills it; the supplies know it and not each other.
	{"bootstrap/supply", "bootstrap/component bootstrap/supply/store internal/ui"},
	{"bootstrap/supply/store", "internal/ui"},
	{"bootstrap/supply/store/imagetest", ""},
	{"bootstrap/supply/mirror", ""},
	{"bootstrap/supply/layer", ""},
	{"bootstrap/supply/gomod", "internal/ui"},
	{"bootstrap/supply/gomod/gomodtest", ""},
	{"bootstrap/supply/sbom", "bootstrap/supply/layer bootstrap/supply/store"},
	{"bootstrap/supply/own", "bootstrap/supply/layer bootstrap/supply/sbom bootstrap/supply/store internal/ui"},
	{"bootstrap/supply/sources", "bootstrap/component bootstrap/supply/gomod bootstrap/supply/layer bootstrap/supply/store"},
	{"bootstrap/supply/registry", "bootstrap/component bootstrap/supply/store internal/ui"},
	{"bootstrap/supply/modules", "bootstrap/component bootstrap/supply/gomod bootstrap/supply/layer bootstrap/supply/sbom bootstrap/supply/store internal/ui"},
	{"bootstrap/cluster", "bootstrap/component bootstrap/kube bootstrap/supply/store internal/ui"},
	{"bootstrap/render", "bootstrap/component bootstrap/supply/store"},
	{"bootstrap/part", "manifests charts pipelines policies"},
	{"bootstrap/frontdoor", ""},
	{"bootstrap/secrets/secretstest", ""},
	{"bootstrap/secrets", "bootstrap/kube bootstrap/part bootstrap/pki"},
	{"bootstrap/tenant", "bootstrap/kube bootstrap/part internal/ui"},
	{"bootstrap/gitea", "bootstrap/frontdoor bootstrap/kube bootstrap/secrets bootstrap/tenant"},
	{"bootstrap/flux", "bootstrap/kube bootstrap/part bootstrap/secrets bootstrap/tenant internal/ui"},

	// Data: an embed.go and nothing that thinks.
	{"manifests", ""}, {"charts", ""}, {"pipelines", ""}, {"policies", ""},
	{"scenarios/drone-service", ""},

	// Scenarios drive the built command, and never reach around it.
	{"scenarios", "scenarios/... internal/ui tracedb tracedb/redact tracedb/why"},
	{"scenarios/...", "scenarios/..."},

	// Conformance weighs what scenarios show, and weakens what they are to notice.
	{"conformance", "scenarios scenarios/platform policies tracedb tracedb/attest"},

	// Lessons walk people through scenarios.
	{"lessons", "scenarios scenarios/platform internal/ui"},

	// The trace and the installer know nothing of each other.
	{"tracedb/redact", "tracedb/attest/strict"},
	{"tracedb/ingest", "tracedb tracedb/attest tracedb/attest/strict tracedb/catalog tracedb/log tracedb/redact tracedb/register"},
	{"tracedb/admission", "tracedb tracedb/catalog tracedb/ingest tracedb/redact"},
	{"tracedb/...", "tracedb tracedb/..."},
	{"tracedb", ""},

	// Tools for whoever changes this: they drive the built command too.
	{"test/bench", ""},
	{"test/chaos", ""},
	{"test/registryworld", ""},
	{"test/bench-tracedb", "tracedb tracedb/..."},
	{"test/outsiders", "bootstrap bootstrap/frontdoor bootstrap/supply/layer bootstrap/supply/store scenarios/platform"},

	{"internal/ui", ""},
	{"internal/arch", ""},

	// The leaf layer, which knows itself downwards.
	{"internal/names", ""},
	{"internal/text", ""},
	{"internal/command", ""},
	{"internal/capability", ""},
	{"internal/httpclient", ""},
	{"internal/giteaclient", "internal/httpclient internal/names"},
	{"internal/kubeclient", ""},
	{"internal/tekton", "internal/names"},
	{"internal/tekton/tektontest", "internal/tekton"},
}

// leaf are the packages that every other may import besides: data and thin clients, without a decision.
var leaf = []string{"internal/names", "internal/text", "internal/command", "internal/capability", "internal/httpclient", "internal/giteaclient", "internal/kubeclient", "internal/tekton"}

// exclusive says which packages of others belong to one package of ours, because that package is the
// adapter around them.
var exclusive = []struct{ imported, owner string }{
	{"sigs.k8s.io/kind/...", "bootstrap/cluster"},
	{"github.com/spf13/cobra", "cmd/..."},
	{"github.com/charmbracelet/lipgloss/...", "internal/ui"},
}

// data lists the folders that hold no code but embed.go.
var data = []string{"manifests", "charts", "pipelines", "policies"}

// pkg is what `go list -json` says about a package, as far as the rules ask.
type pkg struct {
	ImportPath                string
	Name                      string
	Doc                       string
	GoFiles                   []string
	Imports                   []string
	TestImports, XTestImports []string
}

func (p pkg) rel() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

func matches(pattern, name string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(name, below+"/") || name == below && !inModule(pattern)
	}
	return pattern == name
}

// inModule tells our patterns, where x/... means below x only, from those of other modules, where it
// means x too.
func inModule(pattern string) bool { return !strings.Contains(strings.SplitN(pattern, "/", 2)[0], ".") }

// breaches names every rule that the packages break.
func breaches(pkgs []pkg) []string {
	var out []string
	say := func(p pkg, format string, args ...any) {
		out = append(out, p.rel()+": "+fmt.Sprintf(format, args...))
	}
	for _, p := range pkgs {
		rel := p.rel()
		if rel == "." || strings.HasPrefix(rel, "pkg/") || path.Base(rel) == "utils" || path.Base(rel) == "util" || path.Base(rel) == "common" || path.Base(rel) == "helpers" {
			say(p, "the tree has no root package, no pkg/, and no package named for nothing in particular")
		}
		if p.Doc == "" {
			say(p, "has no package comment that says what it owns and what it refuses")
		}
		if slices.Contains(data, rel) && !slices.Equal(p.GoFiles, []string{"embed.go"}) {
			say(p, "a data folder holds embed.go and no other code, not %v", p.GoFiles)
		}
		i := slices.IndexFunc(allowed, func(r struct{ pkg, imports string }) bool { return matches(r.pkg, rel) })
		if i < 0 {
			say(p, "has no rule: say in internal/arch what it may import")
			continue
		}
		may := strings.Fields(allowed[i].imports)
		for _, imported := range p.Imports {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
				if slices.Contains(leaf, ours) && !slices.Contains(leaf, rel) && !slices.Contains(data, rel) {
					continue
				}
				if !slices.ContainsFunc(may, func(pattern string) bool { return matches(pattern, ours) }) {
					say(p, "may not import %s", ours)
				}
				continue
			}
			for _, e := range exclusive {
				if matches(e.imported, imported) && !matches(e.owner, rel) && e.owner != rel {
					say(p, "imports %s, which only %s may", imported, e.owner)
				}
			}
		}
		// A scenario that reached around the command in its tests would prove nothing either.
		if strings.HasPrefix(rel, "scenarios") {
			for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
				if strings.HasPrefix(imported, module+"/bootstrap") {
					say(p, "its tests may not import %s", imported)
				}
			}
		}
	}
	return out
}

func TestImports(t *testing.T) {
	pkgs := list(t)
	if len(pkgs) < 5 {
		t.Fatalf("go list found only %d packages", len(pkgs))
	}
	for _, breach := range breaches(pkgs) {
		t.Error(breach)
	}
}

// TestImportsControl breaks each rule once, to show that it would be noticed.
func TestImportsControl(t *testing.T) {
	at := func(rel string, imports ...string) pkg {
		for i, imp := range imports {
			if inModule(imp) {
				imports[i] = module + "/" + imp
			}
		}
		return pkg{ImportPath: module + "/" + rel, Doc: "x", GoFiles: []string{"embed.go"}, Imports: imports}
	}
	tests := []struct {
		name string
		give pkg
		want string
	}{
		{"command to library", at("cmd/druppie-up", "bootstrap", "bootstrap/host"), ""},
		{"library to command", at("bootstrap", "cmd/foundry"), "may not import cmd/foundry"},
		{"upwards", at("bootstrap/kube", "bootstrap"), "may not import bootstrap"},
		{"sideways", at("bootstrap/pki", "bootstrap/kube"), "may not import bootstrap/kube"},
		{"scenario around the command", at("scenarios", "bootstrap/kube"), "may not import bootstrap/kube"},
		{"scenario's test around the command", pkg{ImportPath: module + "/scenarios", Doc: "x", TestImports: []string{module + "/bootstrap/pki"}}, "its tests may not import"},
		{"trace to installer", at("tracedb/store", "bootstrap"), "may not import bootstrap"},
		{"installer to trace", at("bootstrap", "tracedb/client"), "may not import tracedb/client"},
		{"leaf layer", at("bootstrap/kube", "internal/names"), ""},
		{"leaf layer upwards", at("internal/names", "internal/command"), "may not import internal/command"},
		{"data to the leaf layer", at("policies", "internal/names"), "may not import internal/names"},
		{"no rule", at("bootstrap2"), "has no rule"},
		{"no comment", pkg{ImportPath: module + "/internal/ui"}, "has no package comment"},
		{"pkg folder", at("pkg/x"), "no pkg/"},
		{"utils", at("bootstrap/utils"), "named for nothing"},
		{"data that thinks", pkg{ImportPath: module + "/policies", Doc: "x", GoFiles: []string{"embed.go", "load.go"}}, "a data folder holds embed.go"},
		{"kind elsewhere", at("bootstrap/kube", "sigs.k8s.io/kind/pkg/cluster"), "which only bootstrap/cluster may"},
		{"kind where it belongs", at("bootstrap/cluster", "sigs.k8s.io/kind/pkg/cluster"), ""},
		{"cobra below", at("bootstrap/host", "github.com/spf13/cobra"), "which only cmd/... may"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(breaches([]pkg{tt.give}), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("breaches = %q, want %q", got, tt.want)
			}
		})
	}
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Doc,GoFiles,Imports,TestImports,XTestImports", module+"/...")
	cmd.Dir = "../.."
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errOut.String())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// TestArchitectureNamesEveryPackage: what the document's tree doesn't show, a newcomer doesn't find.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	tree, _, _ := strings.Cut(string(text), "**Who may import whom.**")
	words := strings.FieldsFunc(tree, func(r rune) bool { return strings.ContainsRune(" /,()\n", r) })
	for _, p := range list(t) {
		name := path.Base(p.rel())
		if strings.HasSuffix(name, "test") || slices.Contains(words, name) {
			continue
		}
		t.Errorf("docs/architecture.md doesn't name %s", p.rel())
	}
}
