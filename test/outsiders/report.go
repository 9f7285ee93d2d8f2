package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/command"
)

// summary is the outcome in a few words.
func (v verdict) summary() string {
	switch {
	case v.notRun != "":
		return "not run"
	case v.broken != "":
		return "FAILED: no outcome"
	case !v.good():
		return fmt.Sprintf("FAILED: %d of %d passed", v.passed, v.of)
	}
	return fmt.Sprintf("%d of %d passed", v.passed, v.of)
}

// remarks are what a reader must know beside the numbers, one a line.
func (v verdict) remarks() (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if v.notRun != "" {
		say("not run: %s", v.notRun)
	}
	if v.broken != "" {
		say("no outcome: %s", v.broken)
	}
	for _, r := range v.unknown {
		say("unknown failure: %s: %s", r.test, r.message)
	}
	for _, k := range v.stale {
		say("stale: nothing that %q names fails any more; take it out of suites.yaml", k.Test)
	}
	for _, e := range v.explained {
		say("known failure (%d): %s: %s", len(e.tests), strings.Join(short(e.tests), "; "), e.Reason)
	}
	return lines
}

// short leaves the tail of a long list out.
func short(tests []string) []string {
	const most = 6
	if len(tests) <= most {
		return tests
	}
	return append(tests[:most:most], fmt.Sprintf("and %d more", len(tests)-most))
}

func (v verdict) counts() []string {
	if v.notRun != "" || v.broken != "" {
		return []string{"-", "-", "-", "-", "-"}
	}
	known := 0
	for _, e := range v.explained {
		known += len(e.tests)
	}
	return strings.Fields(fmt.Sprint(v.passed, v.of, known, len(v.unknown)+len(v.stale), v.skipped))
}

func printTable(out io.Writer, all []outcome) {
	tw := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SUITE\tVERSION\tPASSED\tOF\tKNOWN\tUNKNOWN\tSKIPPED\tOUTCOME")
	for _, r := range all {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.Suite, r.version, strings.Join(r.counts(), "\t"), r.summary())
	}
	tw.Flush()
	for _, r := range all {
		if lines := r.remarks(); len(lines) > 0 {
			fmt.Fprintf(out, "\n%s: %s\n", r.Suite, r.What)
			for _, line := range lines {
				fmt.Fprintln(out, "  "+line)
			}
		}
	}
}

// about says of what the outcome is, and names neither the machine nor who ran it.
func (w *world) about(ctx context.Context) (string, error) {
	raw, err := command.Output(ctx, druppie, "version", "-o", "json")
	if err != nil {
		return "", err
	}
	var version struct{ Revision string }
	if err := json.Unmarshal(raw, &version); err != nil {
		return "", err
	}
	nodes, err := w.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	kubernetes := ""
	if len(nodes.Items) > 0 {
		kubernetes = nodes.Items[0].Status.NodeInfo.KubeletVersion
	}
	return fmt.Sprintf("Run on %s against a platform of druppie-up %s with Kubernetes %s, on %d cores (%s).",
		time.Now().UTC().Format(time.DateOnly), version.Revision, kubernetes, runtime.NumCPU(), processor()), nil
}

func processor() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(raw)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

func markdown(all []outcome, about string) []byte {
	var b bytes.Buffer
	cell := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace
	fmt.Fprintf(&b, `# What others' suites say

Fixtures, conformance suites, schemas and scanners that others wrote, run against a platform that is up. Made by
`+"`make outsiders-docs`"+`; `+"`make outsiders`"+` runs them and writes nothing. A failure is either explained here or fails the
command, and so does an explanation of what no longer fails. What wasn't run counts as nothing.

%s

| suite | what it checks | version | passed | of | known failures | unknown | left out by the suite |
|---|---|---|---:|---:|---:|---:|---:|
`, about)
	for _, r := range all {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.Suite, cell(r.What), r.version, strings.Join(r.counts(), " | "))
	}
	for _, r := range all {
		if lines := r.remarks(); len(lines) > 0 {
			fmt.Fprintf(&b, "\n## %s\n\n", r.Suite)
			for _, line := range lines {
				fmt.Fprintf(&b, "- %s\n", cell(line))
			}
		}
	}
	return b.Bytes()
}
