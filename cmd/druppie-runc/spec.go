package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/internal/capability"
)

// narrowFile takes out of the specification in path what h can't give. A
// bundle's configuration has its process as a field; the file of an exec is
// the process itself.
func narrowFile(path string, bundle bool, h host) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the container's specification: %w", err)
	}
	narrow := narrowProcess
	if bundle {
		narrow = narrowBundle
	}
	out, err := narrow(raw, h)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if out == nil {
		return nil
	}
	return replace(path, out)
}

// narrowBundle is narrowProcess for a bundle's config.json.
func narrowBundle(raw []byte, h host) ([]byte, error) {
	spec, err := object(raw)
	if err != nil {
		return nil, err
	}
	if isNull(spec["process"]) {
		return nil, nil
	}
	process, err := narrowProcess(spec["process"], h)
	if err != nil || process == nil {
		return nil, err
	}
	spec["process"] = process
	return json.Marshal(spec)
}

// narrowProcess returns the process with what h can give, nil if that is
// what it is already. Fields it does not know keep their values.
func narrowProcess(raw []byte, h host) ([]byte, error) {
	process, err := object(raw)
	if err != nil {
		return nil, err
	}
	changed := false
	for _, part := range []struct {
		key    string
		narrow func(json.RawMessage, host) (json.RawMessage, error)
	}{
		{"capabilities", narrowCapabilities},
		{"oomScoreAdj", narrowOOMScore},
		{"rlimits", narrowLimits},
	} {
		if isNull(process[part.key]) {
			continue
		}
		out, err := part.narrow(process[part.key], h)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part.key, err)
		}
		if out != nil {
			process[part.key], changed = out, true
		}
	}
	if !changed {
		return nil, nil
	}
	return json.Marshal(process)
}

func narrowCapabilities(raw json.RawMessage, h host) (json.RawMessage, error) {
	sets := map[string][]string{}
	if err := json.Unmarshal(raw, &sets); err != nil {
		return nil, err
	}
	changed := false
	for name, caps := range sets {
		// Never nil, which would be written as null.
		kept := slices.DeleteFunc(append([]string{}, caps...), func(c string) bool { return !h.has(c) })
		changed = changed || len(kept) != len(caps)
		sets[name] = kept
	}
	if !changed {
		return nil, nil
	}
	return json.Marshal(sets)
}

func narrowOOMScore(raw json.RawMessage, h host) (json.RawMessage, error) {
	var score int
	if err := json.Unmarshal(raw, &score); err != nil {
		return nil, err
	}
	if h.has(capability.SysResource) || score >= h.oomScore {
		return nil, nil
	}
	return json.Marshal(h.oomScore)
}

func narrowLimits(raw json.RawMessage, h host) (json.RawMessage, error) {
	if h.has(capability.SysResource) {
		return nil, nil
	}
	var limits []struct {
		Type string `json:"type"`
		Hard uint64 `json:"hard"`
		Soft uint64 `json:"soft"`
	}
	if err := json.Unmarshal(raw, &limits); err != nil {
		return nil, err
	}
	changed := false
	for i := range limits {
		l := &limits[i]
		if most, known := h.limits[strings.ToUpper(l.Type)]; known && l.Hard > most {
			l.Hard, changed = most, true
			l.Soft = min(l.Soft, most)
		}
	}
	if !changed {
		return nil, nil
	}
	return json.Marshal(limits)
}

// replace writes path anew in one step, so that a reader never meets half a
// specification.
func replace(path string, content []byte) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".druppie-runc-*")
	if err != nil {
		return fmt.Errorf("write the narrowed specification: %w", err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(st.Mode().Perm()), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the narrowed specification: %w", err)
	}
	return nil
}

func object(raw []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("not a specification: %w", err)
	}
	if m == nil {
		return nil, fmt.Errorf("not a specification: null")
	}
	return m, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
