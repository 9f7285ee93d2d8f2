package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/kubeclient"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/scenarios/platform"
)

const (
	druppie = "bin/druppie-up"  // relative to the repository's root, where make runs us
	tools   = "tools/outsiders" // what others wrote, pinned
)

// world is the platform that is judged, and the tools that judge it.
type world struct {
	options
	*platform.Platform
	which  bootstrap.Options
	config *rest.Config
	door   frontdoor.Endpoint
	temp   string

	built map[string]bool // folders of modules of which the programs are
}

func connect(ctx context.Context, o options) (*world, error) {
	which, err := bootstrap.Options{Name: o.name}.Complete()
	if err != nil {
		return nil, err
	}
	w := &world{options: o, which: which, built: map[string]bool{}}
	if w.door.Port, err = bootstrap.Running(ctx, which); err != nil {
		return nil, err
	}
	if w.config, err = kubeclient.Config(which.Kubeconfig(), ""); err != nil {
		return nil, err
	}
	if w.Platform, err = platform.Connect(ctx, platform.Options{Kubeconfig: which.Kubeconfig(), Port: w.door.Port}); err != nil {
		return nil, err
	}
	ca, err := w.Kube.CoreV1().ConfigMaps(names.NamespaceSystem).Get(ctx, names.CA, metav1.GetOptions{})
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	w.door.CA = []byte(ca.Data[names.CAKey])
	if w.temp, err = os.MkdirTemp("", "outsiders-"); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *world) close() error { return errors.Join(w.Close(), os.RemoveAll(w.temp)) }

// goTool builds the pinned Go programs, once, and returns the path of one.
func (w *world) goTool(ctx context.Context, name string) (string, error) {
	return w.build(ctx, tools, name, "tool", "./tlog")
}

// build builds Go programs that the module in dir pins, once, and returns the path of one.
func (w *world) build(ctx context.Context, dir, name string, packages ...string) (string, error) {
	bin, err := filepath.Abs(filepath.Join("bin", "outsiders"))
	if err != nil {
		return "", err
	}
	if !w.built[dir] {
		args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin + "/"}
		// They run here and in images without a libc.
		env := append(os.Environ(), "CGO_ENABLED=0")
		if _, err := (command.Command{Name: "go", Dir: dir, Env: env, Args: append(args, packages...)}).Output(ctx); err != nil {
			return "", err
		}
		w.built[dir] = true
	}
	return filepath.Join(bin, name), nil
}

// moduleDir is the folder of a pinned Go module, for what is read of it.
func moduleDir(ctx context.Context, module string) (string, error) {
	if _, err := (command.Command{Name: "go", Dir: tools, Args: []string{"mod", "download", module}}).Output(ctx); err != nil {
		return "", err
	}
	out, err := command.Command{Name: "go", Dir: tools, Args: []string{"list", "-m", "-f", "{{.Dir}}", module}}.Output(ctx)
	return strings.TrimSpace(string(out)), err
}

// npm installs the pinned packages where they aren't yet, and returns their folder.
func npm(ctx context.Context) (string, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", notRun("no %s here (Debian: nodejs, npm)", program)
		}
	}
	modules := filepath.Join(tools, "node_modules")
	lock, err := os.Stat(filepath.Join(tools, "package-lock.json"))
	if err != nil {
		return "", err
	}
	// npm writes this file last.
	if done, err := os.Stat(filepath.Join(modules, ".package-lock.json")); err == nil && done.ModTime().After(lock.ModTime()) {
		return modules, nil
	}
	_, err = command.Command{Name: "npm", Dir: tools, Args: []string{"ci", "--ignore-scripts", "--no-audit", "--no-fund"}}.Output(ctx)
	return modules, err
}

// version reads where a suite is pinned, or which one is installed.
func (w *world) version(ctx context.Context, s suite) string {
	var out []byte
	var err error
	switch {
	case s.Module != "":
		out, err = command.Command{Name: "go", Dir: cmp.Or(s.In, tools), Args: []string{"list", "-m", "-f", "{{.Version}}", s.Module}}.Output(ctx)
	case s.Npm != "":
		var lock struct {
			Packages map[string]struct{ Version string }
		}
		if out, err = os.ReadFile(filepath.Join(tools, "package-lock.json")); err == nil {
			err = json.Unmarshal(out, &lock)
			out = []byte(lock.Packages["node_modules/"+s.Npm].Version)
		}
	case s.Debian != "":
		out, err = command.Output(ctx, "dpkg-query", "--show", "--showformat", "${Version}", s.Debian)
	}
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// plain serves, on the loopback address and without TLS, what a transport reaches over TLS: for programs of others
// that know neither the platform's names nor its CA. It ends with stop.
func plain(target string, transport http.RoundTripper, header http.Header) (address string, stop func() error, err error) {
	to, err := url.Parse(target)
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			for name := range header {
				r.Out.Header.Set(name, header.Get(name))
			}
		},
	}}
	// It says why it ended only when it ended too early, and then its user hears that the address is dead.
	go func() { _ = server.Serve(l) }()
	return l.Addr().String(), server.Close, nil
}
