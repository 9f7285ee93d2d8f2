package platform

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/druppie/druppie-up/internal/kubeclient"
	"github.com/druppie/druppie-up/internal/names"
)

// frontDoorHost is where Gitea is on this machine.
const frontDoorHost = "gitea." + names.Domain

// dial connects to Gitea and the registry by their names, and to nothing else. Names of the cluster mean
// nothing on this machine, and resolvers needn't know *.localhost.
func (p *Platform) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	switch {
	case p.port != 0 && addr == net.JoinHostPort(frontDoorHost, strconv.Itoa(p.port)):
		var d net.Dialer
		return d.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	case addr == names.GiteaHost:
		return kubeclient.DialService(ctx, p.config, p.Kube, names.NamespaceGitea, "gitea")
	case addr == names.RegistryHost:
		return kubeclient.DialService(ctx, p.config, p.Kube, names.NamespaceFoundry, "registry")
	}
	return nil, fmt.Errorf("%s is not a part of the platform that scenarios reach", addr)
}
