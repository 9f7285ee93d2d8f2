package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/druppie/druppie-up/tracedb"
)

// KeyFile says where a key of the keyring is and what it may do.
type KeyFile struct {
	Name    string         `json:"name"`
	File    string         `json:"file"`             // PEM, PKIX public key: ECDSA P-256 or Ed25519
	Kinds   []tracedb.Kind `json:"kinds"`            // that it may sign; "*" alone: all
	Retired time.Time      `json:"retired,omitzero"` // from then on it verifies older records only
}

// Keyring holds the public keys that attestations may be signed with. It never changes; a nil one has
// no keys.
type Keyring struct{ keys []ringKey }

type ringKey struct {
	tracedb.Key
	public  crypto.PublicKey
	retired time.Time
}

// LoadKeyring reads the keys. One bad key spoils the ring: a service that starts with fewer keys than
// it was given would refuse evidence for a reason that nobody sees.
func LoadKeyring(files []KeyFile) (*Keyring, error) {
	ring := &Keyring{}
	for _, f := range files {
		text, err := os.ReadFile(f.File)
		if err != nil {
			return nil, fmt.Errorf("read key %q: %w", f.Name, err)
		}
		key, err := parseKey(f, text)
		if err != nil {
			return nil, fmt.Errorf("read key %q from %s: %w", f.Name, f.File, err)
		}
		for _, other := range ring.keys {
			if other.Name == key.Name {
				return nil, fmt.Errorf("two keys are named %q", key.Name)
			}
			if other.Fingerprint == key.Fingerprint {
				return nil, fmt.Errorf("the keys %q and %q are one key", other.Name, key.Name)
			}
		}
		ring.keys = append(ring.keys, key)
	}
	slices.SortFunc(ring.keys, func(a, b ringKey) int { return strings.Compare(a.Name, b.Name) })
	return ring, nil
}

func parseKey(f KeyFile, text []byte) (ringKey, error) {
	if f.Name == "" {
		return ringKey{}, errors.New("the key has no name")
	}
	kinds, err := signable(f.Kinds)
	if err != nil {
		return ringKey{}, err
	}
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return ringKey{}, errors.New("want one PEM block and nothing after it")
	}
	if block.Type != "PUBLIC KEY" {
		return ringKey{}, errors.New("want a PUBLIC KEY; a private one doesn't belong here")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return ringKey{}, fmt.Errorf("parse public key: %w", err)
	}
	switch k := public.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return ringKey{}, fmt.Errorf("of the ECDSA keys only P-256 is taken, not %s", k.Params().Name)
		}
	default:
		return ringKey{}, fmt.Errorf("want ECDSA P-256 or Ed25519, not %T", public)
	}
	return ringKey{
		Key: tracedb.Key{
			Name:        f.Name,
			Fingerprint: Fingerprint(public),
			PEM:         string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})),
			Kinds:       kinds,
		},
		public:  public,
		retired: f.Retired,
	}, nil
}

// signable checks the kinds that a key may sign. All of them, which tracedb.Key writes as none, must
// be said with "*": a list that was forgotten must not open everything.
func signable(kinds []tracedb.Kind) ([]tracedb.Kind, error) {
	if slices.Equal(kinds, []tracedb.Kind{"*"}) {
		return nil, nil
	}
	if len(kinds) == 0 {
		return nil, errors.New(`the key names no kinds that it may sign; "*" stands for all`)
	}
	for _, k := range kinds {
		if info, ok := k.Info(); !ok || len(info.Predicate) == 0 {
			return nil, fmt.Errorf("there are no attestations of the kind %q", k)
		}
	}
	return slices.Clone(kinds), nil
}

// Keys lists the keyring, by name, as it is at that time.
func (k *Keyring) Keys(at time.Time) []tracedb.Key {
	if k == nil {
		return nil
	}
	out := make([]tracedb.Key, 0, len(k.keys))
	for _, key := range k.keys {
		out = append(out, key.at(at))
	}
	return out
}

func (k ringKey) at(t time.Time) tracedb.Key {
	key := k.Key
	key.Kinds = slices.Clone(k.Kinds)
	key.Retired = !k.retired.IsZero() && !t.Before(k.retired)
	return key
}

// Verified is an envelope whose signature was verified.
type Verified struct {
	Statement Statement
	Key       tracedb.Key // that signed it
	Body      []byte      // the statement's bytes, which were signed
	Unique    string      // its name, as the function Unique gives it
}

// Verify verifies an envelope that the log took at that time, the signature before the statement is
// read. What isn't an envelope, or doesn't say what it must, is ErrInvalidRecord; what no key of the
// ring signed, or none that may, is ErrInvalidSignature; both with the place.
func (k *Keyring) Verify(kind tracedb.Kind, envelope []byte, at time.Time) (Verified, error) {
	o, err := open(envelope)
	if err != nil {
		return Verified{}, err
	}
	key, err := k.signer(kind, o, at)
	if err != nil {
		return Verified{}, err
	}
	st, err := parse(kind, o.body)
	if err != nil {
		return Verified{}, inPayload(err)
	}
	return Verified{Statement: st, Key: key, Body: o.body, Unique: o.unique()}, nil
}

// signer finds who signed. The key that the envelope hints at isn't believed, and a keyring is small: each is tried.
func (k *Keyring) signer(kind tracedb.Kind, o opened, at time.Time) (tracedb.Key, error) {
	if k == nil {
		k = &Keyring{}
	}
	pae := dsse.PAE(PayloadType, o.body)
	i := slices.IndexFunc(k.keys, func(key ringKey) bool { return verifies(key.public, pae, o.sig) })
	if i < 0 {
		return tracedb.Key{}, tracedb.ErrInvalidSignature.At("signatures[0]").
			WithHint("sign with a key of the keyring; whoever changed the statement after it was signed gets this answer, too")
	}
	key := k.keys[i].at(at)
	switch {
	case key.Retired:
		return tracedb.Key{}, tracedb.ErrInvalidSignature.Says("the key %s is retired", key.Name).At("signatures[0]").
			WithHint("sign with the key that took its place")
	case len(key.Kinds) > 0 && !slices.Contains(key.Kinds, kind):
		return tracedb.Key{}, tracedb.ErrInvalidSignature.Says("the key %s may not sign records of this kind", key.Name).At("signatures[0]").
			WithHint("the keyring says which kinds each key may sign")
	}
	return key, nil
}
