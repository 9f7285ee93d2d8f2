package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxLines is "about 400", for those who count.
const maxLines = 450

// process are the names that belong to main alone: whoever else used them could end the program, or
// write where the user asked for a result.
var process = map[string][]string{
	"os":  {"Exit", "Stdin", "Stdout", "Stderr", "Args"},
	"log": {"Fatal", "Fatalf", "Fatalln"},
}

// sourceBreaches names every rule that one Go file breaks. The file's place tells what it may do.
func sourceBreaches(name, source string) []string {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	say := func(pos token.Pos, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s: %s", fset.Position(pos), fmt.Sprintf(format, args...)))
	}
	test := strings.HasSuffix(name, "_test.go")
	if lines := strings.Count(source, "\n"); lines > maxLines && !test {
		out = append(out, fmt.Sprintf("%s: %d lines: it does more than one thing", name, lines))
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			say(f.Pos(), "no init: what runs at import can't be chosen, tested or given a context")
		}
	}
	if !test {
		checkProcess(file, name, say)
	}
	checkBlank(file, test, say)
	return out
}

// checkProcess lets main.go of a command alone touch the process.
func checkProcess(file *ast.File, name string, say func(token.Pos, string, ...any)) {
	if file.Name.Name == "main" && filepath.Base(name) == "main.go" {
		return
	}
	imported := map[string]bool{}
	for _, i := range file.Imports {
		if i.Name == nil {
			imported[strings.Trim(i.Path.Value, `"`)] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && imported[x.Name] && slices.Contains(process[x.Name], sel.Sel.Name) {
			say(sel.Pos(), "%s.%s belongs to main.go alone", x.Name, sel.Sel.Name)
		}
		return true
	})
}

// checkBlank refuses imports for their side effects; embed's has none.
func checkBlank(file *ast.File, test bool, say func(token.Pos, string, ...any)) {
	for _, i := range file.Imports {
		if i.Name != nil && i.Name.Name == "_" && i.Path.Value != `"embed"` {
			say(i.Pos(), "blank import of %s", i.Path.Value)
		}
	}
}

func TestSources(t *testing.T) {
	seen := 0
	for _, name := range tracked(t) {
		// A tool's module of its own stands on its own.
		if filepath.Ext(name) != ".go" || strings.HasPrefix(name, "tools/") {
			continue
		}
		seen++
		source, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, breach := range sourceBreaches(name, string(source)) {
			t.Error(breach)
		}
	}
	if seen < 20 {
		t.Errorf("looked at only %d files", seen)
	}
}

func TestSourcesControl(t *testing.T) {
	tests := []struct{ name, file, source, want string }{
		{"clean", "a/a.go", "package a\nfunc A() {}\n", ""},
		{"init", "a/a.go", "package a\nfunc init() {}\n", "no init"},
		{"method named init", "a/a.go", "package a\ntype T int\nfunc (T) init() {}\n", ""},
		{"exit below main", "a/a.go", "package a\nimport \"os\"\nfunc A() { os.Exit(1) }\n", "os.Exit belongs to main.go"},
		{"exit beside main", "cmd/x/run.go", "package main\nimport \"os\"\nfunc A() { os.Exit(1) }\n", "os.Exit belongs to main.go"},
		{"exit in main", "cmd/x/main.go", "package main\nimport \"os\"\nfunc main() { os.Exit(1) }\n", ""},
		{"stdout below main", "a/a.go", "package a\nimport \"os\"\nvar W = os.Stdout\n", "os.Stdout belongs to main.go"},
		{"fatal", "a/a.go", "package a\nimport \"log\"\nfunc A() { log.Fatal(1) }\n", "log.Fatal belongs to main.go"},
		{"another os", "a/a.go", "package a\nvar os struct{ Exit func() }\nfunc A() { os.Exit() }\n", ""},
		{"blank import", "a/a.go", "package a\nimport _ \"net/http/pprof\"\n", "blank import"},
		{"embed", "a/a.go", "package a\nimport _ \"embed\"\n", ""},
		{"long", "a/a.go", "package a\n" + strings.Repeat("//\n", maxLines), "more than one thing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(sourceBreaches(tt.file, tt.source), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("breaches = %q, want %q", got, tt.want)
			}
		})
	}
}
