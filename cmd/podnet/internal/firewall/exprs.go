package firewall

import (
	"cmp"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// exprs are a part of a rule. The register that a part reads is the one that the part before it filled.
type exprs = []expr.Any

// field is the offset of an address in the header of IPv4.
type field uint32

const (
	source      field = 12
	destination field = 16
)

var (
	v4          = exprs{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV4)}
	v6          = exprs{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV6)}
	established = exprs{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Xor: make([]byte, 4),
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
	accept = exprs{&expr.Verdict{Kind: expr.VerdictAccept}}
	drop   = exprs{&expr.Verdict{Kind: expr.VerdictDrop}}
)

func equal(data ...byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// from matches what came in by a link whose name begins so.
func from(link string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, equal([]byte(link)...)}
}

// notFrom matches what came in by any other.
func notFrom(link string) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte(link)}}
}

// load reads an address into a register: 1, or 9 for the second of a pair (registers of four bytes count from 8,
// and register 1 is the four from 8 on).
func load(f field, register uint32) exprs {
	return exprs{&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: uint32(f), Len: 4}}
}

func transport(protocol byte) exprs {
	return exprs{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(protocol)}
}

func lookup(s *nftables.Set) exprs {
	return exprs{&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID}}
}

func lookupNot(s *nftables.Set) exprs {
	return exprs{&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID, Invert: true}}
}

// verdict does what the map says of the address; an address that it doesn't have goes on.
func verdict(s *nftables.Set) exprs {
	return exprs{&expr.Lookup{SourceRegister: 1, SetName: s.Name, SetID: s.ID, IsDestRegSet: true}}
}

// port matches the destination port, which TCP, UDP and SCTP have in the same place.
func port(first, last uint16) exprs {
	if first == 0 && last == 65535 {
		return nil
	}
	return exprs{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: binaryutil.BigEndian.PutUint16(first)},
		&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binaryutil.BigEndian.PutUint16(cmp.Or(last, first))},
	}
}
