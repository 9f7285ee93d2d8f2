package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// runtimeName is the wrapper's name among the engine's runtimes.
const runtimeName = "druppie-runc"

// mergeDaemon returns the engine's configuration with the wrapper as its
// default runtime, and what the default was. Other settings stay; a configuration
// that has the wrapper already is returned as it is.
func mergeDaemon(raw []byte) (merged []byte, before string, err error) {
	conf, runtimes, err := parseDaemon(raw)
	if err != nil {
		return nil, "", err
	}
	before, _ = conf["default-runtime"].(string)
	have, _ := runtimes[runtimeName].(map[string]any)
	if have["path"] == wrapperPath && before == runtimeName {
		return raw, before, nil
	}
	runtimes[runtimeName] = map[string]string{"path": wrapperPath}
	conf["default-runtime"] = runtimeName
	merged, err = formatDaemon(conf, runtimes)
	return merged, before, err
}

// unmergeDaemon takes the wrapper out again and puts back the default that
// was there, unless someone chose another one since.
func unmergeDaemon(raw []byte, before string) ([]byte, error) {
	conf, runtimes, err := parseDaemon(raw)
	if err != nil {
		return nil, err
	}
	delete(runtimes, runtimeName)
	if conf["default-runtime"] == runtimeName {
		delete(conf, "default-runtime")
		if before != "" && before != runtimeName {
			conf["default-runtime"] = before
		}
	}
	return formatDaemon(conf, runtimes)
}

func parseDaemon(raw []byte) (conf, runtimes map[string]any, err error) {
	conf, runtimes = map[string]any{}, map[string]any{}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		return conf, runtimes, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a large number stays as it is
	if err := d.Decode(&conf); err != nil {
		return nil, nil, fmt.Errorf("%s is not a JSON object: %w", daemonPath, err)
	}
	if conf == nil || d.More() {
		return nil, nil, fmt.Errorf("%s is not a JSON object", daemonPath)
	}
	if r, there := conf["runtimes"]; there {
		if runtimes, _ = r.(map[string]any); runtimes == nil {
			return nil, nil, fmt.Errorf("%s: runtimes is not an object", daemonPath)
		}
	}
	return conf, runtimes, nil
}

func formatDaemon(conf, runtimes map[string]any) ([]byte, error) {
	delete(conf, "runtimes")
	if len(runtimes) > 0 {
		conf["runtimes"] = runtimes
	}
	out, err := json.MarshalIndent(conf, "", "  ")
	return append(out, '\n'), err
}

// installWrapper copies the wrapper and makes it the engine's default
// runtime; an engine that runs takes it over without a restart.
func (h *Host) installWrapper(ctx context.Context) error {
	program, err := os.ReadFile(h.opt.Wrapper)
	if err != nil {
		return fmt.Errorf("the runtime wrapper isn't built: %w", err)
	}
	old, err := os.ReadFile(h.path(daemonPath))
	absent := errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		return fmt.Errorf("read the engine's configuration: %w", err)
	}
	merged, before, err := mergeDaemon(old)
	if err != nil {
		return err
	}
	s, err := h.loadState()
	if err != nil {
		return err
	}
	s.Wrapper = wrapperPath
	if !bytes.Equal(merged, old) || absent {
		change := &daemonChange{Path: daemonPath, Created: absent, Written: digest(merged), DefaultRuntime: before}
		if s.Daemon != nil {
			// It was changed before: Undo goes back to what was there at first.
			change.Created, change.Backup, change.DefaultRuntime = s.Daemon.Created, s.Daemon.Backup, s.Daemon.DefaultRuntime
		} else if !absent {
			change.Backup = daemonPath + ".before-druppie-up"
			if err := writeFile(h.path(change.Backup), old, 0o644); err != nil {
				return fmt.Errorf("back up the engine's configuration: %w", err)
			}
		}
		s.Daemon = change
	}
	if err := h.saveState(s); err != nil {
		return err
	}
	if err := writeFile(h.path(wrapperPath), program, 0o755); err != nil {
		return fmt.Errorf("install the runtime wrapper: %w", err)
	}
	if err := writeFile(h.path(daemonPath), merged, 0o644); err != nil {
		return fmt.Errorf("write the engine's configuration: %w", err)
	}
	return h.reloadEngine(ctx)
}

// removeWrapper takes back what installWrapper did.
func (h *Host) removeWrapper(ctx context.Context, s *state) error {
	if c := s.Daemon; c != nil {
		if err := h.restoreDaemon(c); err != nil {
			return err
		}
		s.Daemon = nil
		if err := h.saveState(s); err != nil {
			return err
		}
		if err := h.reloadEngine(ctx); err != nil {
			return err
		}
	}
	if s.Wrapper == "" {
		return nil
	}
	if err := os.Remove(h.path(s.Wrapper)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the runtime wrapper: %w", err)
	}
	s.Wrapper = ""
	return h.saveState(s)
}

// restoreDaemon puts back the configuration byte for byte if nobody edited it
// since, and else takes only our settings out.
func (h *Host) restoreDaemon(c *daemonChange) error {
	now, err := os.ReadFile(h.path(c.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the engine's configuration: %w", err)
	}
	untouched := digest(now) == c.Written
	switch {
	case untouched && c.Created:
		err = os.Remove(h.path(c.Path))
	case untouched:
		err = os.Rename(h.path(c.Backup), h.path(c.Path))
	default:
		var out []byte
		if out, err = unmergeDaemon(now, c.DefaultRuntime); err == nil {
			err = writeFile(h.path(c.Path), out, 0o644)
		}
		if err == nil && c.Backup != "" {
			err = os.Remove(h.path(c.Backup))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore the engine's configuration: %w", err)
	}
	return nil
}

// reloadEngine makes a running engine read its configuration again, which
// covers runtimes and the default one; containers run on.
func (h *Host) reloadEngine(ctx context.Context) error {
	pid := h.enginePID()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("make the engine read its configuration (pid %d): %w", pid, err)
	}
	return ctx.Err()
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// wrapperActive says whether the engine's configuration has the wrapper and
// it is there to be started.
func (h *Host) wrapperActive() bool {
	raw, err := os.ReadFile(h.path(daemonPath))
	if err != nil {
		return false
	}
	merged, before, err := mergeDaemon(raw)
	if err != nil || before != runtimeName || !bytes.Equal(merged, raw) {
		return false
	}
	st, err := os.Stat(h.path(wrapperPath))
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
}
