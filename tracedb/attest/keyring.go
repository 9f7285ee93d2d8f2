package attest

import (
	"crypto"
	"encoding/json"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// KeyFile says where a key of the keyring is and what it may do.
type KeyFile struct {
	Name    string         `json:"name"`
	File    string         `json:"file"`              // PEM, PKIX public key: ECDSA P-256 or Ed25519
	Kinds   []tracedb.Kind `json:"kinds"`             // that it may sign; "*" or none: all
	Retired time.Time      `json:"retired,omitzero"` // from then on it verifies old records only
}

// Keyring holds the public keys that attestations may be signed with.
type Keyring struct{}

// LoadKeyring reads the keys.
func LoadKeyring(files []KeyFile) (*Keyring, error) { return &Keyring{}, nil }

// Keys lists the keyring, by name.
func (k *Keyring) Keys() []tracedb.Key { return nil }

// Verify is the statement in an envelope that a key of the keyring signed and may sign now.
func (k *Keyring) Verify(kind tracedb.Kind, envelope []byte) (Statement, tracedb.Key, error) {
	return k.VerifyAt(kind, envelope, time.Now())
}

// VerifyAt is Verify for an envelope that the log took at that time.
func (k *Keyring) VerifyAt(kind tracedb.Kind, envelope []byte, at time.Time) (Statement, tracedb.Key, error) {
	return Statement{}, tracedb.Key{}, tracedb.ErrInvalidSignature
}

// Decode is the statement in an envelope, without a look at the signature: for records that the log
// holds, whose signature was checked when it took them.
func Decode(kind tracedb.Kind, envelope []byte) (Statement, error) {
	return Statement{}, tracedb.ErrInvalidRecord
}

// Sign puts the statement into an envelope.
func Sign(signer crypto.Signer, st Statement) (json.RawMessage, error) {
	return nil, tracedb.ErrInternal
}

// Fingerprint is "SHA256:" and the SHA-256 of the key's DER (PKIX) in lower-case hex, as
// `openssl pkey -pubin -outform der | sha256sum` prints it; empty for what isn't a public key.
func Fingerprint(pub crypto.PublicKey) string { return "" }
