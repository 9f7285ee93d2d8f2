package bootstrap

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/druppie/druppie-up/bootstrap/cluster"
	"github.com/druppie/druppie-up/bootstrap/supply/gomod"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/ui"
)

// Options say which platform to make and where its parts are kept. Complete
// puts the default into each field that has its zero value.
type Options struct {
	Name     string // cluster's name
	Context  string // of the user's kubeconfig: a platform that somebody else made; empty: the kind cluster
	Workers  int    // worker nodes beside the control plane
	GPUNodes int    // workers with labels, taint and a simulated nvidia.com/gpu

	Port       int  // front door on 127.0.0.1
	PortChosen bool // the user chose Port: then one that is taken is an error

	Supply         string // auto, registry or modules
	RegistryMirror string // a registry that holds upstream's images under upstream's names; empty asks upstream
	Unpinned       bool   // take what tags stand for, also where another digest is pinned

	StoreDir string // OCI image layout; outlives the cluster
	StateDir string // this cluster's kubeconfig and mounts
	BinDir   string // where the binaries of our own images lie

	Timeout time.Duration // of the whole command
}

// Complete fills what is empty and refuses what can't be; every refusal is a
// usage error, and nothing has been touched by then. The functions of this package
// take what it returns, and only read it.
func (o Options) Complete() (Options, error) {
	if o.Name == "" {
		o.Name = names.DefaultPlatform
	}
	if err := cluster.ValidateName(o.Name); err != nil {
		return o, err
	}
	if o.Workers < 0 || o.GPUNodes < 0 || o.Workers+o.GPUNodes > 16 {
		return o, ui.Usage(fmt.Errorf("%d workers and %d GPU nodes: between 0 and 16 nodes beside the control plane", o.Workers, o.GPUNodes))
	}
	if o.Port == 0 {
		o.Port = 8443
	}
	if o.Port < 1024 || o.Port > 65535 {
		return o, ui.Usage(fmt.Errorf("port %d: a front door's port lies between 1024 and 65535", o.Port))
	}
	switch o.Supply {
	case "":
		o.Supply = "auto"
	case "auto", "registry", "modules":
	default:
		return o, ui.Usage(ui.WithHint(fmt.Errorf("unknown supply %q", o.Supply), "use auto, registry or modules"))
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Hour
	}
	return o.withFolders()
}

// withFolders puts the store and the state where the XDG base directories say.
func (o Options) withFolders() (Options, error) {
	if o.StoreDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("find the cache folder: %w", err)
		}
		o.StoreDir = filepath.Join(cache, "druppie-up", "store")
	}
	if o.StateDir == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if state == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return o, fmt.Errorf("find the state folder: %w", err)
			}
			state = filepath.Join(home, ".local", "state")
		}
		o.StateDir = filepath.Join(state, "druppie-up", cmp.Or(url.PathEscape(o.Context), o.Name))
	}
	// The engine and the go command take no relative folders.
	for _, dir := range []*string{&o.StoreDir, &o.StateDir} {
		var err error
		if *dir, err = filepath.Abs(*dir); err != nil {
			return o, fmt.Errorf("find %s: %w", *dir, err)
		}
	}
	if o.BinDir == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("find this program's folder: %w", err)
		}
		if self, err = filepath.EvalSymlinks(self); err != nil {
			return o, fmt.Errorf("find this program's folder: %w", err)
		}
		o.BinDir = filepath.Dir(self)
	}
	return o, nil
}

// Kubeconfig is where the cluster's own kubeconfig lies; the user's is never touched.
func (o Options) Kubeconfig() string { return cluster.Kubeconfig(o.StateDir) }

// buildDir holds the caches of the modules supply, beside the store.
func (o Options) buildDir() string { return filepath.Join(filepath.Dir(o.StoreDir), "build") }

// golang is how Go modules are downloaded.
func (o Options) golang() gomod.Go { return gomod.Go{ModCache: filepath.Join(o.buildDir(), "mod")} }
