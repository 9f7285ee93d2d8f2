package platform

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/sigstore/cosign/v2/pkg/cosign"
	ocimutate "github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/names"
)

// Repository is the name of an image of ours, without tag or digest.
func Repository(image string) string {
	return names.RegistryHost + "/" + names.Organisation + "/" + image
}

// read are options for what everybody may do.
func (p *Platform) read(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(p.client.Transport)}
}

// write are options with the credentials that only the push step has.
func (p *Platform) write(ctx context.Context) ([]remote.Option, error) {
	v, err := p.secret(ctx, names.NamespaceFoundry, "registry-writer", "username", "password")
	if err != nil {
		return nil, err
	}
	auth := &authn.Basic{Username: v["username"], Password: v["password"]}
	return append(p.read(ctx), remote.WithAuth(auth)), nil
}

// Digest resolves a reference; ok is false where the registry lacks it.
func (p *Platform) Digest(ctx context.Context, ref string) (digest string, ok bool, err error) {
	r, err := name.ParseReference(ref)
	if err != nil {
		return "", false, err
	}
	d, err := remote.Head(r, p.read(ctx)...)
	switch {
	case notFound(err):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("look for %s: %w", ref, err)
	}
	return d.Digest.String(), true, nil
}

// Tags lists an image's tags; signatures are among them.
func (p *Platform) Tags(ctx context.Context, image string) ([]string, error) {
	repo, err := name.NewRepository(Repository(image))
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(repo, p.read(ctx)...)
	if err != nil && !notFound(err) {
		return nil, fmt.Errorf("list tags of %s: %w", repo, err)
	}
	return tags, nil
}

// image reads the one that a reference names by digest.
func (p *Platform) image(ctx context.Context, ref string) (name.Digest, v1.Image, error) {
	d, err := name.NewDigest(ref)
	if err != nil {
		return d, nil, err
	}
	img, err := remote.Image(d, p.read(ctx)...)
	if err != nil {
		return d, nil, fmt.Errorf("read %s: %w", ref, err)
	}
	return d, img, nil
}

// PushVariant pushes a copy of an image that differs in a label alone, so that
// it would run as well and has another digest. It returns its reference.
func (p *Platform) PushVariant(ctx context.Context, ref, label string) (string, error) {
	d, img, err := p.image(ctx, ref)
	if err != nil {
		return "", err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	config = config.DeepCopy()
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	config.Config.Labels["druppie.io/scenario"] = label
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return "", err
	}
	return p.push(ctx, d.Context(), img)
}

// PushCopy pushes the same image under another name of the registry, without its
// signature: signatures stand beside a name. It returns the copy's reference.
func (p *Platform) PushCopy(ctx context.Context, ref, image string) (string, error) {
	_, img, err := p.image(ctx, ref)
	if err != nil {
		return "", err
	}
	repo, err := name.NewRepository(Repository(image))
	if err != nil {
		return "", err
	}
	return p.push(ctx, repo, img)
}

func (p *Platform) push(ctx context.Context, repo name.Repository, img v1.Image) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	to := repo.Digest(digest.String())
	return to.String(), p.writeImage(ctx, to, img)
}

func (p *Platform) writeImage(ctx context.Context, to name.Reference, img v1.Image) error {
	opts, err := p.write(ctx)
	if err != nil {
		return err
	}
	if err := remote.Write(to, img, opts...); err != nil {
		return fmt.Errorf("push %s: %w", to, err)
	}
	return nil
}

// Tag gives an image a tag and returns the reference by tag.
func (p *Platform) Tag(ctx context.Context, ref, tag string) (string, error) {
	d, img, err := p.image(ctx, ref)
	if err != nil {
		return "", err
	}
	to := d.Context().Tag(tag)
	return to.String(), p.writeImage(ctx, to, img)
}

// PushWithoutCredentials tries to write to the registry as nobody, and returns
// what the registry answered.
func (p *Platform) PushWithoutCredentials(ctx context.Context, image string) error {
	repo, err := name.NewRepository(Repository(image))
	if err != nil {
		return err
	}
	// A tag that is there already with this image would not be written.
	tag := repo.Tag("intruder-" + strconv.FormatInt(time.Now().UnixNano(), 36))
	return remote.Write(tag, empty.Image, p.read(ctx)...)
}

// SignForeign puts a signature beside the image that is well-formed in every
// way, but made with a key that nobody trusts.
func (p *Platform) SignForeign(ctx context.Context, ref string) error {
	d, err := name.NewDigest(ref)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return p.sign(ctx, d, key)
}

func (p *Platform) sign(ctx context.Context, d name.Digest, key *ecdsa.PrivateKey) error {
	signer, err := signature.LoadECDSASignerVerifier(key, crypto.SHA256)
	if err != nil {
		return err
	}
	body, raw, err := signature.SignImage(signer, d, nil)
	if err != nil {
		return err
	}
	sig, err := static.NewSignature(body, base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		return err
	}
	opts, err := p.write(ctx)
	if err != nil {
		return err
	}
	registry := ociremote.WithRemoteOptions(opts...)
	image, err := ociremote.SignedEntity(d, registry)
	if err != nil {
		return fmt.Errorf("read %s: %w", d, err)
	}
	if image, err = ocimutate.AttachSignatureToEntity(image, sig); err != nil {
		return err
	}
	if err := ociremote.WriteSignatures(d.Context(), image, registry); err != nil {
		return fmt.Errorf("push a signature of %s: %w", d, err)
	}
	return nil
}

// ErrNotSigned says that no signature of the foundry covers an image.
var ErrNotSigned = errors.New("no signature by the foundry's key")

// Signed succeeds if a signature beside the image was made with the foundry's
// key over this very digest.
func (p *Platform) Signed(ctx context.Context, ref string) error {
	d, err := name.NewDigest(ref)
	if err != nil {
		return err
	}
	cm, err := p.Kube.CoreV1().ConfigMaps(names.NamespaceFoundry).Get(ctx, "signing-public-key", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the foundry's public key: %w", err)
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(cm.Data["cosign.pub"]))
	if err != nil {
		return fmt.Errorf("the foundry's public key: %w", err)
	}
	return p.verify(ctx, d, key)
}

// verify checks a signature as the admission policies do.
func (p *Platform) verify(ctx context.Context, d name.Digest, key crypto.PublicKey) error {
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return err
	}
	_, _, err = cosign.VerifyImageSignatures(ctx, d, &cosign.CheckOpts{
		SigVerifier: verifier, IgnoreTlog: true, IgnoreSCT: true, ClaimVerifier: cosign.SimpleClaimVerifier,
		RegistryClientOpts: []ociremote.Option{ociremote.WithRemoteOptions(p.read(ctx)...)},
	})
	if errors.As(err, new(*cosign.ErrNoSignaturesFound)) || errors.As(err, new(*cosign.ErrNoMatchingSignatures)) {
		return fmt.Errorf("%s: %w: %w", d, ErrNotSigned, err)
	}
	return err
}

func notFound(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode == http.StatusNotFound
}
