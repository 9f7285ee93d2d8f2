// Package cosign signs images with the foundry's key and checks such signatures.
// Signatures are cosign's own, in the form of a .sig tag beside the image (the
// admission policies verify that form), made with a key and without any public
// log: it connects to the registry alone, and refuses references by tag.
package cosign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/payload"
)

// ErrNotSigned says that no signature of the key covers the image.
var ErrNotSigned = errors.New("no valid signature")

// Sign adds a signature over the image and the annotations, unless the same is
// there already; it says whether it added one.
func Sign(ctx context.Context, ref name.Digest, key *ecdsa.PrivateKey, annotations map[string]string, opts ...remote.Option) (bool, error) {
	signer, err := signature.LoadECDSASignerVerifier(key, crypto.SHA256)
	if err != nil {
		return false, err
	}
	// Signatures of one key are random, so a repeated step would add one more each time.
	if err := Verify(ctx, ref, signer, annotations, opts...); !errors.Is(err, ErrNotSigned) {
		return false, err
	}
	optional := make(map[string]any, len(annotations))
	for k, v := range annotations {
		optional[k] = v
	}
	body, raw, err := signature.SignImage(signer, ref, optional)
	if err != nil {
		return false, fmt.Errorf("sign: %w", err)
	}
	sig, err := static.NewSignature(body, base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		return false, fmt.Errorf("wrap the signature: %w", err)
	}
	remoteOpts := ociremote.WithRemoteOptions(opts...)
	entity, err := ociremote.SignedEntity(ref, remoteOpts)
	if err != nil {
		return false, fmt.Errorf("find %s: %w", ref, err)
	}
	signed, err := mutate.AttachSignatureToEntity(entity, sig)
	if err != nil {
		return false, fmt.Errorf("attach the signature: %w", err)
	}
	if err := ociremote.WriteSignatures(ref.Context(), signed, remoteOpts); err != nil {
		return false, fmt.Errorf("push the signature: %w", err)
	}
	return true, nil
}

// Verify succeeds if one signature of the key covers the image's digest and
// has all the annotations.
func Verify(ctx context.Context, ref name.Digest, key signature.Verifier, annotations map[string]string, opts ...remote.Option) error {
	sigs, err := stored(ref, ociremote.SignatureTag, opts...)
	if err != nil {
		return fmt.Errorf("signatures of %s: %w", ref, err)
	}
	if len(sigs) == 0 {
		return fmt.Errorf("%w for %s: the image has none at all", ErrNotSigned, ref)
	}
	var reasons []error
	for _, sig := range sigs {
		err := check(sig, ref, key, annotations)
		if err == nil {
			return nil
		}
		reasons = append(reasons, err)
	}
	return fmt.Errorf("%w for %s: %w", ErrNotSigned, ref, errors.Join(reasons...))
}

// stored reads what cosign keeps under a tag beside the image; nothing where there is no such tag.
func stored(ref name.Digest, tagOf func(name.Reference, ...ociremote.Option) (name.Tag, error), opts ...remote.Option) ([]oci.Signature, error) {
	remoteOpts := ociremote.WithRemoteOptions(opts...)
	tag, err := tagOf(ref, remoteOpts)
	if err != nil {
		return nil, err
	}
	list, err := ociremote.Signatures(tag, remoteOpts)
	if err != nil {
		return nil, err
	}
	return list.Get()
}

func check(sig oci.Signature, ref name.Digest, key signature.Verifier, annotations map[string]string) error {
	body, err := sig.Payload()
	if err != nil {
		return fmt.Errorf("read the payload: %w", err)
	}
	encoded, err := sig.Base64Signature()
	if err != nil {
		return fmt.Errorf("read the signature: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("decode the signature: %w", err)
	}
	if err := key.VerifySignature(bytes.NewReader(raw), bytes.NewReader(body)); err != nil {
		return fmt.Errorf("made with another key: %w", err)
	}
	var signed payload.SimpleContainerImage
	if err := json.Unmarshal(body, &signed); err != nil {
		return fmt.Errorf("parse the payload: %w", err)
	}
	if signed.Critical.Type != payload.CosignSignatureType {
		return fmt.Errorf("it is a %q, not a signature of an image", signed.Critical.Type)
	}
	if got := signed.Critical.Image.DockerManifestDigest; got != ref.DigestStr() {
		return fmt.Errorf("it is for another image, %s", got)
	}
	for k, want := range annotations {
		if got := signed.Optional[k]; got != want {
			return fmt.Errorf("it says %s is %v, not %s", k, got, want)
		}
	}
	return nil
}
