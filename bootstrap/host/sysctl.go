package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// inotify limits: below least kubelet, containerd and the controllers fail
// with "too many open files"; want is what kind's documentation asks for.
var inotify = []struct {
	key         string
	least, want int64
}{
	{"fs.inotify.max_user_instances", 256, 512},
	{"fs.inotify.max_user_watches", 65536, 524288},
}

func (h *Host) checkInotify(_ context.Context) Finding {
	f := Finding{Status: OK}
	var found, mend []string
	for _, s := range inotify {
		n, err := h.number(sysctlFile(s.key))
		if err != nil {
			return Finding{Status: Skip, Found: "unknown: " + err.Error()}
		}
		name := path.Base(sysctlFile(s.key))
		if n >= s.want {
			found = append(found, fmt.Sprintf("%s %d", name, n))
			continue
		}
		found = append(found, fmt.Sprintf("%s %d (%d wanted)", name, n, s.want))
		mend = append(mend, fmt.Sprintf("sysctl -w %s=%d", s.key, s.want))
		if n < s.least {
			f.Status = Fail
		} else if f.Status == OK {
			f.Status = Warn
		}
	}
	f.Found, f.Mend = strings.Join(found, ", "), strings.Join(mend, " && ")
	if len(mend) > 0 && os.Geteuid() == 0 {
		for _, m := range mend {
			f.FixDoes = append(f.FixDoes, "run "+m)
		}
		f.FixDoes = append(f.FixDoes, "write the same to "+sysctlPath+", for after a restart")
	}
	return f
}

func sysctlFile(key string) string { return "/proc/sys/" + strings.ReplaceAll(key, ".", "/") }

func (h *Host) raiseInotify(context.Context) error {
	s, err := h.loadState()
	if err != nil {
		return err
	}
	before := map[string]string{}
	var lines strings.Builder
	lines.WriteString("# Written by druppie-up doctor; druppie-up doctor --undo removes it.\n")
	for _, want := range inotify {
		n, err := h.number(sysctlFile(want.key))
		if err != nil {
			return fmt.Errorf("read %s: %w", want.key, err)
		}
		if n < want.want {
			before[want.key] = fmt.Sprint(n)
			if s.Sysctls == nil {
				s.Sysctls = map[string]string{}
			}
			if _, known := s.Sysctls[want.key]; !known {
				s.Sysctls[want.key] = fmt.Sprint(n)
			}
		}
		if _, changed := s.Sysctls[want.key]; changed {
			fmt.Fprintf(&lines, "%s = %d\n", want.key, want.want)
		}
	}
	s.addFile(sysctlPath)
	if err := h.saveState(s); err != nil {
		return err
	}
	for _, want := range inotify {
		if _, low := before[want.key]; !low {
			continue
		}
		// Written in place: a file in /proc can't be replaced.
		if err := os.WriteFile(h.path(sysctlFile(want.key)), []byte(fmt.Sprintln(want.want)), 0o644); err != nil {
			return fmt.Errorf("raise %s: %w", want.key, err)
		}
	}
	if err := writeFile(h.path(sysctlPath), []byte(lines.String()), 0o644); err != nil {
		return fmt.Errorf("keep the raised limits: %w", err)
	}
	return nil
}

// restoreSysctls puts back what was there before, except where someone set
// another value since.
func (h *Host) restoreSysctls(s *state) error {
	for _, set := range inotify {
		before, changed := s.Sysctls[set.key]
		if !changed {
			continue
		}
		now, err := h.number(sysctlFile(set.key))
		if err != nil {
			return fmt.Errorf("read %s: %w", set.key, err)
		}
		if now == set.want {
			if err := os.WriteFile(h.path(sysctlFile(set.key)), []byte(before+"\n"), 0o644); err != nil {
				return fmt.Errorf("restore %s: %w", set.key, err)
			}
		}
	}
	s.Sysctls = nil
	return h.saveState(s)
}

// removeFiles removes what Fix made.
func (h *Host) removeFiles(s *state) error {
	for _, f := range slices.Clone(s.Files) {
		if err := os.Remove(h.path(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", f, err)
		}
	}
	s.Files = nil
	return h.saveState(s)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	return slices.Sorted(maps.Keys(m))
}
