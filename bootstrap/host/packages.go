package host

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// enginePackages are the engine's in Debian and its descendants. The engine
// needs iptables for every container's network and only recommends it.
var enginePackages = []string{"docker.io", "iptables"}

// apt says whether this distribution's packages are installed by apt-get.
func (h *Host) apt() bool { return installed("apt-get") && installed("dpkg-query") }

// install adds packages of the distribution and records all that came.
func (h *Host) install(ctx context.Context, packages ...string) error {
	before, err := h.packages(ctx)
	if err != nil {
		return err
	}
	s, err := h.loadState()
	if err != nil {
		return err
	}
	// The package lists may be missing or old; where they can't be updated, those on disk may be enough.
	_, updateErr := h.run(ctx, "apt-get", "update", "-q")
	args := append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)
	_, installErr := h.run(ctx, "apt-get", args...)
	// Also after a failure: what was installed until then is to be undone.
	after, err := h.packages(ctx)
	if err != nil {
		return err
	}
	for _, p := range added(before, after) {
		if !slices.Contains(s.Packages, p) {
			s.Packages = append(s.Packages, p)
		}
	}
	if err := h.saveState(s); err != nil {
		return err
	}
	switch {
	case installErr == nil:
		return nil
	case updateErr != nil:
		return fmt.Errorf("install %s: %w (and before that: %w)", strings.Join(packages, ", "), installErr, updateErr)
	}
	return fmt.Errorf("install %s: %w", strings.Join(packages, ", "), installErr)
}

// packages lists what is installed.
func (h *Host) packages(ctx context.Context) ([]string, error) {
	out, err := h.run(ctx, "dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n")
	if err != nil {
		return nil, fmt.Errorf("list the installed packages: %w", err)
	}
	return parsePackages(string(out)), nil
}

// parsePackages takes the installed ones out of dpkg-query's lines.
func parsePackages(list string) []string {
	var names []string
	for line := range strings.Lines(list) {
		status, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && len(status) >= 2 && status[1] == 'i' {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// added returns what after has and before lacks.
func added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(n string) bool { return slices.Contains(before, n) })
}
