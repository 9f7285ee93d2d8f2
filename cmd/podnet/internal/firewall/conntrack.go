package firewall

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Forget drops what the kernel remembers of an address's connections: whoever gets the address next must not inherit
// them.
func Forget(addr netip.Addr) error {
	if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, connectionsOf(addr)); err != nil {
		return fmt.Errorf("forget the connections of %s: %w", addr, err)
	}
	return nil
}

// connectionsOf matches the connections that an address is an end of, as it sent or as it was translated to.
type connectionsOf netip.Addr

// MatchConntrackFlow makes it a filter.
func (c connectionsOf) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	for _, ip := range []net.IP{f.Forward.SrcIP, f.Forward.DstIP, f.Reverse.SrcIP, f.Reverse.DstIP} {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == netip.Addr(c) {
			return true
		}
	}
	return false
}
