// Package denied reads from the kernel's log which packets the firewall refused. It owns how such a packet is read;
// it refuses to know whose addresses they are.
package denied

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/florianl/go-nflog/v2"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// Packet is the first one of a connection that was refused.
type Packet struct {
	Why      string // as the firewall's rule says it
	From, To netip.Addr
	Protocol corev1.Protocol // empty: one without ports
	Port     uint16          // of the receiver
}

// Listen calls f for each packet that the kernel copies to a log group of this network namespace, until ctx ends.
// What can't be read is left out.
func Listen(ctx context.Context, group uint16, f func(Packet)) error {
	log, err := nflog.Open(&nflog.Config{Group: group, Copymode: nflog.CopyPacket, Bufsize: 128})
	if err != nil {
		return fmt.Errorf("netfilter log: %w", err)
	}
	defer func() { _ = log.Close() }() // nothing is kept that could be lost
	failed := make(chan error, 1)
	err = log.RegisterWithErrorFunc(ctx, func(a nflog.Attribute) int {
		if a.Payload != nil && a.Prefix != nil {
			if p, ok := parse(*a.Payload); ok {
				p.Why = *a.Prefix
				f(p)
			}
		}
		return 0
	}, func(err error) int {
		var temporary interface{ Temporary() bool }
		if ctx.Err() == nil && (errors.Is(err, unix.ENOBUFS) || errors.As(err, &temporary) && temporary.Temporary()) {
			return 0 // more came than could be read; what was lost is refused all the same
		}
		select {
		case failed <- err:
		default:
		}
		return 1
	})
	if err != nil {
		return fmt.Errorf("netfilter log: %w", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("netfilter log: %w", err)
	}
}

// parse reads a packet of IPv4 as far as its ports.
func parse(data []byte) (Packet, bool) {
	h, err := ipv4.ParseHeader(data)
	if err != nil || h.Version != ipv4.Version || h.Len < ipv4.HeaderLen || len(data) < h.Len {
		return Packet{}, false
	}
	from, okFrom := netip.AddrFromSlice(h.Src)
	to, okTo := netip.AddrFromSlice(h.Dst)
	if !okFrom || !okTo {
		return Packet{}, false
	}
	p := Packet{From: from.Unmap(), To: to.Unmap()}
	protocol := map[int]corev1.Protocol{unix.IPPROTO_TCP: corev1.ProtocolTCP, unix.IPPROTO_UDP: corev1.ProtocolUDP, unix.IPPROTO_SCTP: corev1.ProtocolSCTP}[h.Protocol]
	if ports := data[h.Len:]; protocol != "" && len(ports) >= 4 {
		p.Protocol, p.Port = protocol, binary.BigEndian.Uint16(ports[2:])
	}
	return p, true
}
