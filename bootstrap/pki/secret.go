package pki

import (
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/sigstore/cosign/v2/pkg/cosign"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/mod/sumdb/note"
)

// SigningKey is the key pair that images are signed with. Private is encrypted
// with Password, in the form Cosign writes and reads.
type SigningKey struct {
	Private  []byte
	Public   []byte
	Password []byte
}

// NewSigningKey makes a key pair that opens only with its own random password.
func NewSigningKey() (SigningKey, error) {
	password := []byte(Secret())
	keys, err := cosign.GenerateKeyPair(func(bool) ([]byte, error) { return password, nil })
	if err != nil {
		return SigningKey{}, fmt.Errorf("generate signing key: %w", err)
	}
	return SigningKey{Private: keys.PrivateBytes, Public: keys.PublicBytes, Password: password}, nil
}

// KeyPair is a key pair of ECDSA P-256 in PEM: PKCS #8, and PKIX.
type KeyPair struct{ Private, Public []byte }

// NewKeyPair makes a key pair for signing attestations.
func NewKeyPair() (KeyPair, error) {
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.SkipPassword)
	if err != nil {
		return KeyPair{}, fmt.Errorf("generate key: %w", err)
	}
	return KeyPair{private, public}, nil
}

// NoteKey is the key pair of a signed note (golang.org/x/mod/sumdb/note): how a
// log signs its checkpoints.
type NoteKey struct {
	Signer   string // PRIVATE+KEY+<name>+…
	Verifier string // <name>+…
}

// NewNoteKey makes a key pair whose name stands in every signature.
func NewNoteKey(name string) (NoteKey, error) {
	signer, verifier, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return NoteKey{}, fmt.Errorf("generate note key: %w", err)
	}
	return NoteKey{Signer: signer, Verifier: verifier}, nil
}

// Secret returns 256 random bits, safe in URLs, shells and configuration files.
func Secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Hash returns the bcrypt hash that a web server compares a password with. The
// cost is low on purpose: our passwords are random, and it is paid per request.
func Hash(password string) (string, error) {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(h), nil
}
