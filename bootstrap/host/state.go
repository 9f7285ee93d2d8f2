package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/atomicwriter"
)

// state is what Fix did to this machine, so that Undo can take back exactly
// that. It is written before each change: a change that was recorded and not
// made is harmless to undo, one made and not recorded would stay for ever.
type state struct {
	Packages []string          `json:"packages,omitempty"` // newly installed, with what they needed
	Engine   bool              `json:"engine,omitempty"`   // the engine is among them
	DataRoot string            `json:"dataRoot,omitempty"` // the engine's data, if it made the folder
	Daemon   *daemonChange     `json:"daemon,omitempty"`
	Wrapper  string            `json:"wrapper,omitempty"` // path of the copy
	Sysctls  map[string]string `json:"sysctls,omitempty"` // values from before
	Files    []string          `json:"files,omitempty"`   // made by us, to be removed
}

// daemonChange is what happened to the engine's configuration.
type daemonChange struct {
	Path           string `json:"path"`
	Created        bool   `json:"created"`                  // there was none
	Backup         string `json:"backup,omitempty"`         // copy of the one that was there
	Written        string `json:"written"`                  // sha256 of what we wrote
	DefaultRuntime string `json:"defaultRuntime,omitempty"` // what it was, "" for none
}

func (s *state) empty() bool {
	return len(s.Packages) == 0 && !s.Engine && s.DataRoot == "" && s.Daemon == nil && s.Wrapper == "" && len(s.Sysctls) == 0 && len(s.Files) == 0
}

func (s *state) addFile(path string) {
	if !slices.Contains(s.Files, path) {
		s.Files = append(s.Files, path)
	}
}

// loadState returns the zero state where nothing was changed yet.
func (h *Host) loadState() (*state, error) {
	s := &state{}
	raw, err := os.ReadFile(h.path(statePath))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what doctor changed: %w", err)
	}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("read what doctor changed: %s: %w", statePath, err)
	}
	return s, nil
}

// saveState keeps s, or removes the record when nothing is left in it.
func (h *Host) saveState(s *state) error {
	path := h.path(statePath)
	if s.empty() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget what doctor changed: %w", err)
		}
		_ = os.Remove(filepath.Dir(path)) // only if nothing else is in it
		return nil
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := writeFile(path, append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("record what doctor changes: %w", err)
	}
	return nil
}

// writeFile writes a file in one step, with the folders on the way to it.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicwriter.WriteFile(path, content, mode)
}
