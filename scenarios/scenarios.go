// Package scenarios owns the platform's behaviour tests: scripts (*.txtar), each
// opening with the controls it proves, and the engine that runs them, the same
// from `go test` as from `druppie-up scenario run`. A scenario acts from outside,
// as its users do: each identity with its own token, the cluster through its API.
// It passes only if the platform did the right thing and the trace says so.
// It refuses to install or mend anything, and it may run again at any time on a
// platform where it ran before.
package scenarios

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed *.txtar
var scripts embed.FS

//go:embed mutations/*.yaml
var mutations embed.FS

// Mutations are the files that say how a control is weakened, to see that a scenario notices.
func Mutations() (fs.FS, error) { return fs.Sub(mutations, "mutations") }

const ext = ".txtar"

// ErrUnknown says that no scenario has the name that was asked for.
var ErrUnknown = errors.New("no such scenario")

// Info is what a scenario says about itself.
type Info struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Controls []string `json:"controls"`        // ids of the steps and controls it proves
	After    []string `json:"after,omitempty"` // scenarios that must have run before
	// Machine says that it needs the machine that the cluster's nodes run on.
	Machine bool `json:"machine,omitempty"`
	// Alone says why no other may run beside it; empty: it keeps to one tenant, whichever that is.
	Alone string `json:"alone,omitempty"`
}

// List gives all scenarios in an order in which they can run one after another.
func List() ([]Info, error) { return list(scripts) }

// Script is the text of a scenario.
func Script(name string) ([]byte, error) { return scripts.ReadFile(name + ext) }

func list(fsys fs.FS) ([]Info, error) {
	names, err := fs.Glob(fsys, "*"+ext)
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, file := range names {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		info, err := parseHeader(strings.TrimSuffix(path.Base(file), ext), data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, info)
	}
	return ordered(all)
}

var (
	opening = regexp.MustCompile(`^# ([A-Z0-9a-z. ]+): (.+)$`)
	control = regexp.MustCompile(`^(C[1-6]|F[0-8][abc]?|F6\.[123])$`)
	after   = regexp.MustCompile(`^# After: (.+)$`)
	alone   = regexp.MustCompile(`^# Alone: (.+)$`)
	needs   = regexp.MustCompile(`^# Needs: (.+)$`)
)

// parseHeader reads the first lines of a script: the ids of the controls it
// proves and, after a colon, what it shows; then perhaps what must have run, why nothing may run beside it, and what it needs.
func parseHeader(name string, script []byte) (Info, error) {
	info := Info{Name: name}
	lines := bufio.NewScanner(bytes.NewReader(script))
	if !lines.Scan() {
		return info, errors.New("is empty")
	}
	m := opening.FindStringSubmatch(lines.Text())
	if m == nil {
		return info, errors.New(`must open with the controls it proves: "# C1 F2: what it shows"`)
	}
	info.Controls, info.Title = strings.Fields(m[1]), m[2]
	for _, id := range info.Controls {
		if !control.MatchString(id) {
			return info, fmt.Errorf("opens with %q, which is no control or step of the design", id)
		}
	}
	for lines.Scan() && strings.HasPrefix(lines.Text(), "#") {
		if m := after.FindStringSubmatch(lines.Text()); m != nil {
			info.After = strings.Fields(m[1])
		}
		if m := alone.FindStringSubmatch(lines.Text()); m != nil {
			info.Alone = m[1]
		}
		if m := needs.FindStringSubmatch(lines.Text()); m != nil {
			if m[1] != "machine" {
				return info, fmt.Errorf("needs %q; all that a scenario can need is the machine of the nodes", m[1])
			}
			info.Machine = true
		}
	}
	return info, lines.Err()
}

// ordered sorts by name, with every scenario behind those it comes after.
func ordered(all []Info) ([]Info, error) {
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	var out []Info
	placed := map[string]bool{}
	for len(out) < len(all) {
		before := len(out)
		for _, info := range all {
			ready := !slices.ContainsFunc(info.After, func(n string) bool { return !placed[n] })
			if !placed[info.Name] && ready {
				out, placed[info.Name] = append(out, info), true
				break
			}
		}
		if len(out) == before {
			return nil, errors.New("some scenario comes after one that isn't there, or after itself")
		}
	}
	return out, nil
}
