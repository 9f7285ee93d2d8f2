package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// bench is one run.
type bench struct {
	dir      string
	keep     string
	engine   string   // the only one that is measured; empty: all
	only     []string // the only ones to measure; empty: all
	records  int
	span     time.Duration
	tracedb  string // the service's program; empty: it is built
	self     string // this program, to start again; empty: children are measured in this process
	out      io.Writer
	progress io.Writer
}

// measurements are what can be measured, in the order of the report, with the names that ask for it. Each
// prints rows of its own.
var measurements = []struct {
	names   []string
	measure func(context.Context, *bench, *table) error
}{
	{[]string{"append"}, measureAppend},
	{[]string{"http"}, measureHTTP},
	{[]string{"large", "start", "check", "service"}, measureLarge},
}

// childOf is what is measured in a process of its own, by name: its memory and its start are then
// nobody else's. What they print is a row each.
func childOf(name string) (func(context.Context, *table, []string) error, error) {
	f, ok := map[string]func(context.Context, *table, []string) error{
		"start": childStart,
		"check": childCheck,
	}[name]
	if !ok {
		return nil, fmt.Errorf("there is no child %q", name)
	}
	return f, nil
}

func (b *bench) run(ctx context.Context, w io.Writer, child string, args []string) error {
	if child != "" {
		f, err := childOf(child)
		if err != nil {
			return err
		}
		return f(ctx, &table{w: w}, args)
	}
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "tracedb-bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		// The PostgreSQL server, which isn't run as root, must be able to pass through.
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
		b.dir = dir
	}
	b.out = w
	t := &table{w: w}
	var errs []error
	for _, m := range measurements {
		if !b.wants(m.names...) {
			continue
		}
		if err := m.measure(ctx, b, t); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.names[0], err))
		}
	}
	return errors.Join(errs...)
}

// wants says whether to measure what has one of those names.
func (b *bench) wants(names ...string) bool {
	return len(b.only) == 0 || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(b.only, name) })
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.progress, format+"\n", args...) }

// table prints what was measured.
type table struct{ w io.Writer }

// print writes rows of columns under a heading.
func (t *table) print(heading string, rows [][]string) error {
	fmt.Fprintf(t.w, "%s\n", heading)
	w := tabwriter.NewWriter(t.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t\n", strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(t.w)
	return err
}

// median is the middle one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
