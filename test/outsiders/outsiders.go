package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

type options struct {
	name, only, write string
	out, progress     io.Writer
}

// adapter runs a suite against the platform and reads what it said.
type adapter func(context.Context, *world) ([]result, error)

// adapters are how each suite of suites.yaml is run.
func adapters() map[string]adapter {
	return map[string]adapter{
		"pod-security":     podSecurity,
		"oci-distribution": ociDistribution,
		"tlog-tiles":       tlogTiles,
		"axe":              axe,
		"testssl":          testSSL,
		"spectral":         spectral,
		"cyclonedx":        cycloneDX,
		"kubeconform":      kubeconform,
		"network-policies": networkPolicies,
		"cyclonus":         cyclonus,
	}
}

// outcome is a suite with its verdict.
type outcome struct {
	suite
	version string
	verdict
}

func run(ctx context.Context, o options) error {
	adapters := adapters()
	suites, err := readSuites(suitesYAML, adapters)
	if err != nil {
		return err
	}
	only := strings.FieldsFunc(o.only, func(r rune) bool { return r == ',' })
	for _, name := range only {
		if adapters[name] == nil {
			return fmt.Errorf("no suite %q is run", name)
		}
	}
	w, err := connect(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	var all []outcome
	for _, s := range suites {
		r := outcome{suite: s}
		switch {
		case s.Absent != "":
			r.verdict = verdict{notRun: s.Absent}
		case len(only) > 0 && !slices.Contains(only, s.Suite):
			r.verdict = verdict{notRun: "left out of this run (-only)"}
		default:
			fmt.Fprintf(o.progress, "outsiders: %s: %s\n", s.Suite, s.What)
			began := time.Now()
			results, err := adapters[s.Suite](ctx, w)
			if err := ctx.Err(); err != nil {
				return err
			}
			r.verdict, r.version = judge(s.Known, results, err), w.version(ctx, s)
			fmt.Fprintf(o.progress, "outsiders: %s: %s, took %s\n", s.Suite, r.summary(), time.Since(began).Round(time.Second))
		}
		all = append(all, r)
	}
	printTable(o.out, all)
	if o.write != "" {
		about, err := w.about(ctx)
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.write, markdown(all, about), 0o644); err != nil {
			return err
		}
	}
	bad := 0
	for _, r := range all {
		if !r.good() {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d suites failed in a way that nothing explains", bad)
	}
	return nil
}
