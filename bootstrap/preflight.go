package bootstrap

import (
	"os"
	"path/filepath"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/bootstrap/host"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// HostOptions say what a platform with the completed options o needs of this
// machine. They ask the registries that images will be pulled from, and look
// into the store that will be used; nothing is written.
func HostOptions(o Options) (host.Options, error) {
	comps, err := loadComponents()
	if err != nil {
		return host.Options{}, err
	}
	pull, err := registrySupply(o, comps, false)
	if err != nil {
		return host.Options{}, err
	}
	full, err := storeFull(o.StoreDir, comps)
	if err != nil {
		return host.Options{}, err
	}
	return host.Options{
		Cluster: o.Name, Port: o.Port, PortChosen: o.PortChosen,
		StoreDir: o.StoreDir, StoreFull: full, BuildDir: o.buildDir(),
		Wrapper: filepath.Join(o.BinDir, "druppie-runc"), Supply: o.Supply, Registry: pull.Available,
	}, nil
}

// storeFull says whether the store in dir has everything, so that no supply is
// needed. It doesn't make the store.
func storeFull(dir string, comps []component.Component) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
		return false, nil
	}
	s, err := store.Open(dir)
	if err != nil {
		return false, err
	}
	upstream, err := inputs{components: comps, store: s}.upstreamNode()
	if err != nil {
		return false, nil // the node image itself is missing
	}
	missing, err := s.Missing(images(comps, upstream, component.Stages()...))
	return len(missing) == 0, err
}
