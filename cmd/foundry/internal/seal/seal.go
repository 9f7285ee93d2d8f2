// Package seal signs images with the foundry's key and checks such signatures.
// Signatures are cosign's own, in the form of a .sig tag beside the image (the
// admission policies verify that form), made with a key and without any public
// log: it talks to the registry alone, and refuses references by tag.
package seal

import (
	"bytes"
	"context"
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

// Claims are what a signature says besides the digest, such as the commit.
type Claims map[string]string

// Sign adds a signature over the image and the claims, unless the same is
// there already; it says whether it added one.
func Sign(ctx context.Context, ref name.Digest, key signature.SignerVerifier, claims Claims, opts ...remote.Option) (bool, error) {
	// Signatures of one key are random, so a repeated step would add one more each time.
	switch err := Verify(ctx, ref, key, claims, opts...); {
	case err == nil:
		return false, nil
	case !errors.Is(err, ErrNotSigned):
		return false, err
	}
	annotations := make(map[string]any, len(claims))
	for k, v := range claims {
		annotations[k] = v
	}
	body, err := payload.Cosign{Image: ref, Annotations: annotations}.MarshalJSON()
	if err != nil {
		return false, fmt.Errorf("write the payload: %w", err)
	}
	raw, err := key.SignMessage(bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("sign: %w", err)
	}
	sig, err := static.NewSignature(body, base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		return false, fmt.Errorf("wrap the signature: %w", err)
	}
	entity, err := ociremote.SignedEntity(ref, ociremote.WithRemoteOptions(opts...))
	if err != nil {
		return false, fmt.Errorf("find %s: %w", ref, err)
	}
	signed, err := mutate.AttachSignatureToEntity(entity, sig)
	if err != nil {
		return false, fmt.Errorf("attach the signature: %w", err)
	}
	if err := ociremote.WriteSignatures(ref.Context(), signed, ociremote.WithRemoteOptions(opts...)); err != nil {
		return false, fmt.Errorf("push the signature: %w", err)
	}
	return true, nil
}

// Verify succeeds if one signature of the key covers the image's digest and
// makes all the claims.
func Verify(ctx context.Context, ref name.Digest, key signature.Verifier, claims Claims, opts ...remote.Option) error {
	tag, err := ociremote.SignatureTag(ref, ociremote.WithRemoteOptions(opts...))
	if err != nil {
		return fmt.Errorf("signature of %s: %w", ref, err)
	}
	list, err := ociremote.Signatures(tag, ociremote.WithRemoteOptions(opts...))
	if err != nil {
		return fmt.Errorf("signatures of %s: %w", ref, err)
	}
	sigs, err := list.Get()
	if err != nil {
		return fmt.Errorf("signatures of %s: %w", ref, err)
	}
	var why []error
	for _, sig := range sigs {
		if err := check(sig, ref, key, claims); err != nil {
			why = append(why, err)
			continue
		}
		return nil
	}
	if len(why) == 0 {
		why = []error{errors.New("the image has none at all")}
	}
	return fmt.Errorf("%w for %s: %w", ErrNotSigned, ref, errors.Join(why...))
}

func check(sig oci.Signature, ref name.Digest, key signature.Verifier, claims Claims) error {
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
	var said payload.SimpleContainerImage
	if err := json.Unmarshal(body, &said); err != nil {
		return fmt.Errorf("parse the payload: %w", err)
	}
	if said.Critical.Type != payload.CosignSignatureType {
		return fmt.Errorf("it is a %q, not a signature of an image", said.Critical.Type)
	}
	if got := said.Critical.Image.DockerManifestDigest; got != ref.DigestStr() {
		return fmt.Errorf("it is for another image, %s", got)
	}
	for k, want := range claims {
		if got := said.Optional[k]; got != want {
			return fmt.Errorf("it says %s is %v, not %s", k, got, want)
		}
	}
	return nil
}
