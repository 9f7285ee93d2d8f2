package main

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// protocol marks our routes, so that stale ones differ from others'. The
// kernel gives numbers above RTPROT_STATIC no meaning; this one is unused by
// the routing daemons that register theirs.
const protocol = 112

// setRoutes has exactly these routes among those that are ours.
func setRoutes(want []route) error {
	var errs []error
	keep := map[string]bool{}
	for _, r := range want {
		keep[r.dst.String()] = true
		if err := netlink.RouteReplace(&netlink.Route{Dst: ipNet(r.dst), Gw: r.via.AsSlice(), Protocol: protocol}); err != nil {
			errs = append(errs, fmt.Errorf("route to %s through %s: %w", r.dst, r.via, err))
		}
	}
	ours, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("list routes: %w", err))...)
	}
	for _, r := range ours {
		if r.Dst == nil || keep[r.Dst.String()] {
			continue
		}
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("drop the route to %s: %w", r.Dst, err))
		}
	}
	return errors.Join(errs...)
}

// linkMTU is that of the interface with the default route; pods must not send
// more than it carries.
func linkMTU() int {
	const usual = 1500
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return usual
	}
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil && link.Attrs().MTU > 0 {
			return link.Attrs().MTU
		}
	}
	return usual
}
