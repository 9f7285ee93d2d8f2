// Command druppie-runc is an OCI runtime for hosts whose own capabilities are
// limited, such as sandboxes and CI machines: it takes out of a container's
// specification what the host can't give (capabilities outside the bounding
// set, and without CAP_SYS_RESOURCE a lower OOM score or higher resource
// limits than its own), and then becomes runc.
//
// It refuses to add anything, and leaves a specification alone that the host
// can serve as it is. It starts at every container call, so it depends on the
// standard library and on what names capabilities, nothing else.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// runcPaths is where distributions keep runc, for engines that start their
// runtimes with a PATH that lacks it.
var runcPaths = []string{"/usr/bin/runc", "/usr/sbin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc", "/sbin/runc"}

func main() {
	c := parseCall(os.Args[1:])
	err := run(c)
	// run only returns when runc was not started.
	fmt.Fprintf(os.Stderr, "druppie-runc: %v\n", err)
	writeLog(c.log, err)
	os.Exit(1)
}

// run narrows the specification that the call names and replaces this
// process by runc.
func run(c call) error {
	if path := c.spec(); path != "" {
		h, err := readHost()
		if err != nil {
			return err
		}
		if err := narrowFile(path, c.command != "exec", h); err != nil {
			return err
		}
	}
	runc, err := findRunc()
	if err != nil {
		return err
	}
	err = syscall.Exec(runc, append([]string{"runc"}, c.args...), os.Environ())
	return fmt.Errorf("start %s: %w", runc, err)
}

// findRunc returns the path of the real runtime.
func findRunc() (string, error) {
	if p, err := exec.LookPath("runc"); err == nil {
		return filepath.Abs(p)
	}
	for _, p := range runcPaths {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("runc is neither in PATH nor in %v: install the package runc", runcPaths)
}

// writeLog adds err to the log that runc would have written: the engine takes
// the message that it shows from there.
func writeLog(path string, err error) {
	if path == "" {
		return
	}
	f, openErr := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if openErr != nil {
		return
	}
	defer f.Close()
	_ = json.NewEncoder(f).Encode(map[string]string{
		"level": "error",
		"msg":   "druppie-runc: " + err.Error(),
		"time":  time.Now().UTC().Format(time.RFC3339),
	})
}
