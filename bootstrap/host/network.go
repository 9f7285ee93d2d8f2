package host

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/druppie/druppie-up/internal/names"
)

// clusterRanges are the pods' and Services' addresses, which are kind's
// defaults.
var clusterRanges = map[string]netip.Prefix{
	"pods":     netip.MustParsePrefix("10.244.0.0/16"),
	"Services": netip.MustParsePrefix("10.96.0.0/16"),
}

func (h *Host) checkNetworks(ctx context.Context) Finding {
	table, err := h.read("/proc/net/route")
	if err != nil {
		return Finding{Status: Skip, Found: "unknown: " + err.Error()}
	}
	resolvers, _ := h.read("/etc/resolv.conf")
	routes := parseRoutes(table)
	var clashes []string
	for _, who := range sortedKeys(clusterRanges) {
		for _, r := range routes {
			if r.net.Overlaps(clusterRanges[who]) {
				clashes = append(clashes, fmt.Sprintf("%s (%s) and the route to %s by %s", who, clusterRanges[who], r.net, r.device))
			}
		}
		for _, ns := range parseResolvers(resolvers) {
			if clusterRanges[who].Contains(ns) {
				clashes = append(clashes, fmt.Sprintf("%s (%s) and the name server %s", who, clusterRanges[who], ns))
			}
		}
	}
	if len(clashes) > 0 {
		return Finding{Status: Warn, Found: "overlap of " + strings.Join(clashes, "; "),
			Mend: "disconnect that network (a VPN, often) while the platform is used, if pods have to reach it"}
	}
	for _, s := range h.kindSubnets(ctx) {
		for _, r := range routes {
			// The engine's own route to its network leads to its bridge.
			if r.net.Overlaps(s) && !strings.HasPrefix(r.device, "br-") && !strings.HasPrefix(r.device, "docker") {
				return Finding{Status: Fail, Found: fmt.Sprintf("the engine's network kind (%s) overlaps the route to %s by %s", s, r.net, r.device),
					Mend: "delete the clusters on it, then docker network rm kind: the engine picks another range"}
			}
		}
	}
	return Finding{Status: OK, Found: "no overlap"}
}

// kindSubnets are the addresses of the network that the nodes are on, none if
// it isn't there yet.
func (h *Host) kindSubnets(ctx context.Context) []netip.Prefix {
	if h.facts(ctx).err != nil {
		return nil
	}
	out, err := h.run(ctx, "docker", "network", "inspect", "kind", "--format", "{{range .IPAM.Config}}{{println .Subnet}}{{end}}")
	if err != nil {
		return nil
	}
	var subnets []netip.Prefix
	for _, subnet := range strings.Fields(string(out)) {
		if p, err := netip.ParsePrefix(subnet); err == nil && p.Addr().Is4() {
			subnets = append(subnets, p)
		}
	}
	return subnets
}

type route struct {
	device string
	net    netip.Prefix
}

// parseRoutes reads a /proc/net/route. The default route is left out: it
// overlaps every network, and any other route takes precedence.
func parseRoutes(table string) []route {
	var routes []route
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		address, okA := parseHexAddress(f[1])
		mask, okM := parseHexAddress(f[7])
		if !okA || !okM {
			continue
		}
		m := mask.As4()
		ones, _ := net.IPMask(m[:]).Size()
		if ones == 0 {
			continue
		}
		routes = append(routes, route{f[0], netip.PrefixFrom(address, ones)})
	}
	return routes
}

func parseResolvers(text string) []netip.Addr {
	var servers []netip.Addr
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(f[1]); err == nil {
			servers = append(servers, ip)
		}
	}
	return servers
}

func (h *Host) checkNames(ctx context.Context) Finding {
	const name = "gitea." + names.Domain
	deadline, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(deadline, "ip", name)
	if err != nil || len(addresses) == 0 || !addresses[0].Unmap().IsLoopback() {
		return Finding{Status: OK, Found: name + " resolves in browsers and curl only; the platform itself doesn't need it"}
	}
	return Finding{Status: OK, Found: name + " is " + addresses[0].String()}
}

// policyOptions are what the rules that network policies come to need of the kernel.
var policyOptions = []string{
	"NF_TABLES", "NF_TABLES_INET", "NFT_CT", "NFT_LOG", "NFT_LIMIT", "NFT_REJECT_INET", "NFT_FIB_INET", "NFT_NAT", "NFT_MASQ",
	"NETFILTER_NETLINK_LOG", "NF_CT_NETLINK",
}

// checkPolicies reads how the kernel was configured; where that can't be read, the platform's canary will tell.
func (h *Host) checkPolicies(context.Context) Finding {
	config, err := h.kernelConfig()
	if err != nil {
		return Finding{Status: Skip, Found: "unknown, `up` tries them: " + err.Error()}
	}
	var missing []string
	for _, o := range policyOptions {
		if !strings.Contains(config, "\nCONFIG_"+o+"=y") && !strings.Contains(config, "\nCONFIG_"+o+"=m") {
			missing = append(missing, o)
		}
	}
	if len(missing) > 0 {
		return Finding{Status: Fail, Found: "the kernel lacks " + strings.Join(missing, ", "), Mend: "boot a kernel with nf_tables, as those of the distributions are"}
	}
	return Finding{Status: OK, Found: "the kernel has nf_tables with all that they need"}
}

// kernelConfig is the configuration that the running kernel was built with, each option after a new line.
func (h *Host) kernelConfig() (string, error) {
	release, err := h.read("/proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	if config, err := h.read("/boot/config-" + release); err == nil {
		return "\n" + config, nil
	}
	file, err := os.Open(h.path("/proc/config.gz"))
	if err != nil {
		return "", err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return "", err
	}
	config, err := io.ReadAll(io.LimitReader(unpacked, 4<<20))
	return "\n" + string(config), err
}
