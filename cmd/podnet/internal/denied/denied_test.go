package denied

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// syn is the head of a TCP packet from 10.244.0.5 to 10.244.0.9, port 5000.
var syn = []byte{
	0x45, 0, 0, 44, 0, 1, 0, 0, 64, 6, 0, 0, 10, 244, 0, 5, 10, 244, 0, 9,
	0x9c, 0x40, 0x13, 0x88, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0, 0, 0, 0, 0, 0,
}

func TestParse(t *testing.T) {
	with := func(change func([]byte) []byte) []byte { return change(append([]byte(nil), syn...)) }
	from, to := netip.MustParseAddr("10.244.0.5"), netip.MustParseAddr("10.244.0.9")
	for _, tt := range []struct {
		name string
		data []byte
		want Packet
		ok   bool
	}{
		{"tcp", syn, Packet{From: from, To: to, Protocol: "TCP", Port: 5000}, true},
		{"udp", with(func(b []byte) []byte { b[9] = 17; return b }), Packet{From: from, To: to, Protocol: "UDP", Port: 5000}, true},
		{"icmp has no port", with(func(b []byte) []byte { b[9] = 1; return b }), Packet{From: from, To: to}, true},
		{"options", with(func(b []byte) []byte {
			return append(append([]byte{0x46}, b[1:20]...), append([]byte{1, 1, 1, 1}, b[20:]...)...)
		}),
			Packet{From: from, To: to, Protocol: "TCP", Port: 5000}, true},
		{"cut before the ports", syn[:22], Packet{From: from, To: to}, true},
		{"cut in the header", syn[:19], Packet{}, false},
		{"a header that is longer than the packet", with(func(b []byte) []byte { b[0] = 0x4f; return b[:24] }), Packet{}, false},
		{"a header that is too short", with(func(b []byte) []byte { b[0] = 0x41; return b }), Packet{}, false},
		{"another version", with(func(b []byte) []byte { b[0] = 0x65; return b }), Packet{}, false},
		{"nothing", nil, Packet{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parse(tt.data)
			if ok != tt.ok {
				t.Fatalf("read: %v", ok)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(syn)
	f.Add(syn[:21])
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, ok := parse(data); ok && (!p.From.Is4() || !p.To.Is4()) {
			t.Errorf("%x is read as %v", data, p)
		}
	})
}
