package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/attest/strict"
)

// wire is a DSSE envelope as it travels. DSSE lets consumers pass unknown fields by; here they are
// refused, because nothing that isn't under the signature belongs in a log of evidence.
type wire struct {
	PayloadType string          `json:"payloadType"`
	Payload     string          `json:"payload"`
	Signatures  []wireSignature `json:"signatures"`
}

type wireSignature struct {
	KeyID string `json:"keyid"` // a hint, and not under the signature
	Sig   string `json:"sig"`
}

// opened is an envelope that was decoded, not yet verified.
type opened struct {
	body []byte
	sig  []byte
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9:+/=_.-]{0,128}$`)

func open(envelope []byte) (opened, error) {
	if len(envelope) > tracedb.MaxPayload {
		return opened{}, tracedb.ErrTooLarge.Says("an envelope has at most %d bytes", tracedb.MaxPayload)
	}
	var w wire
	if err := strict.Decode(envelope, &w, strict.Known); err != nil {
		return opened{}, err
	}
	if w.PayloadType != PayloadType {
		return opened{}, refuse("payloadType", "want %s", PayloadType)
	}
	body, err := decode64(w.Payload)
	if err != nil || len(body) == 0 {
		return opened{}, refuse("payload", "want a statement in standard base64")
	}
	switch len(w.Signatures) {
	case 0:
		return opened{}, tracedb.ErrInvalidSignature.Says("the envelope isn't signed").At("signatures")
	case 1:
	default:
		// Others' signatures would be bytes that nobody answers for.
		return opened{}, refuse("signatures", "want one signature")
	}
	s := w.Signatures[0]
	if !keyID.MatchString(s.KeyID) {
		return opened{}, refuse("signatures[0].keyid", "want at most 128 plain characters")
	}
	sig, err := decode64(s.Sig)
	if err != nil || len(sig) == 0 {
		return opened{}, tracedb.ErrInvalidSignature.Says("the signature isn't standard base64").At("signatures[0].sig")
	}
	return opened{body: body, sig: sig}, nil
}

// decode64 reads base64 that has one reading: no line breaks, no bits after the end.
func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, err
	}
	if base64.StdEncoding.EncodedLen(len(b)) != len(s) {
		return nil, errors.New("line breaks in base64")
	}
	return b, nil
}

// Decode is the statement in an envelope, without a look at the signature: for records that the log
// holds, whose signature was checked when it took them.
func Decode(kind tracedb.Kind, envelope []byte) (Statement, error) {
	o, err := open(envelope)
	if err != nil {
		return Statement{}, err
	}
	st, err := parse(kind, o.body)
	if err != nil {
		return Statement{}, inPayload(err)
	}
	return st, nil
}

// inPayload puts a statement's errors where the statement is: in the envelope's payload.
func inPayload(err error) error {
	var e *tracedb.Error
	if errors.As(err, &e) {
		return e.At("payload")
	}
	return err
}

// Unique names what an envelope says, whatever its signatures and its encoding: the
// SHA-256 of the statement's bytes, in lower-case hex. Two envelopes with one name are one
// attestation, so a statement that is made of two events must say which event it is of.
func Unique(envelope []byte) (string, error) {
	o, err := open(envelope)
	if err != nil {
		return "", err
	}
	return o.unique(), nil
}

func (o opened) unique() string { return fmt.Sprintf("%x", sha256.Sum256(o.body)) }

// Sign puts the statement into an envelope. The signer's key is ECDSA P-256, as Cosign makes them,
// or Ed25519. A statement that Verify would refuse isn't signed.
func Sign(signer crypto.Signer, st Statement) (json.RawMessage, error) {
	raw, err := tracedb.EncodeJSON(st)
	if err != nil {
		return nil, fmt.Errorf("encode statement: %w", err)
	}
	kind, ok := kindOf(st.PredicateType)
	if !ok {
		return nil, fmt.Errorf("sign statement: no kind of record has the predicate type %q", st.PredicateType)
	}
	parsed, err := parse(kind, raw)
	if err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	if _, err := Read(kind, parsed); err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	pae := dsse.PAE(PayloadType, raw)
	var sig []byte
	switch pub := signer.Public().(type) {
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, errors.New("sign statement: of the ECDSA keys, only P-256 is verified")
		}
		sum := sha256.Sum256(pae)
		sig, err = signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	case ed25519.PublicKey:
		sig, err = signer.Sign(rand.Reader, pae, crypto.Hash(0))
	default:
		return nil, fmt.Errorf("sign statement: no %T is verified", pub)
	}
	if err != nil {
		return nil, fmt.Errorf("sign statement: %w", err)
	}
	envelope, err := json.Marshal(wire{
		PayloadType: PayloadType,
		Payload:     base64.StdEncoding.EncodeToString(raw),
		Signatures:  []wireSignature{{KeyID: Fingerprint(signer.Public()), Sig: base64.StdEncoding.EncodeToString(sig)}},
	})
	if err != nil {
		return nil, fmt.Errorf("encode envelope: %w", err)
	}
	if len(envelope) > tracedb.MaxPayload {
		return nil, tracedb.ErrTooLarge.Says("the envelope has %d bytes, at most %d are taken", len(envelope), tracedb.MaxPayload)
	}
	return envelope, nil
}

// kindOf is the kind of record that has the predicate type.
func kindOf(predicate string) (tracedb.Kind, bool) {
	for _, info := range tracedb.Kinds() {
		if slices.Contains(info.Predicate, predicateType(predicate)) {
			return info.Kind, true
		}
	}
	return "", false
}

// verifies says whether the key made the signature of the statement's bytes.
func verifies(pub crypto.PublicKey, pae, sig []byte) bool {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(pae)
		return ecdsa.VerifyASN1(pub, sum[:], sig)
	case ed25519.PublicKey:
		return ed25519.Verify(pub, pae, sig)
	}
	return false
}

// Fingerprint is "SHA256:" and the SHA-256 of the key's DER (PKIX) in lower-case hex, as
// `openssl pkey -pubin -outform der | sha256sum` prints it; empty for what isn't a public key.
func Fingerprint(pub crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("SHA256:%x", sha256.Sum256(der))
}
