package platform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/druppie/druppie-up/internal/names"
)

// The form of a cosign signature beside an image.
const (
	simpleSigning       = types.MediaType("application/vnd.dev.cosign.simplesigning.v1+json")
	signatureAnnotation = "dev.cosignproject.cosign/signature"
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
	if err != nil {
		if notFound(err) {
			return "", false, nil
		}
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

// PushVariant pushes a copy of an image that differs in a label alone, so that
// it would run as well and has another digest. It returns its reference.
func (p *Platform) PushVariant(ctx context.Context, ref, label string) (string, error) {
	d, err := name.NewDigest(ref)
	if err != nil {
		return "", err
	}
	img, err := remote.Image(d, p.read(ctx)...)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
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
	d, err := name.NewDigest(ref)
	if err != nil {
		return "", err
	}
	img, err := remote.Image(d, p.read(ctx)...)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	repo, err := name.NewRepository(names.RegistryHost + "/" + names.Organisation + "/" + image)
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
	opts, err := p.write(ctx)
	if err != nil {
		return "", err
	}
	if err := remote.Write(to, img, opts...); err != nil {
		return "", fmt.Errorf("push %s: %w", to, err)
	}
	return to.String(), nil
}

// Tag gives an image a tag and returns the reference by tag.
func (p *Platform) Tag(ctx context.Context, ref, tag string) (string, error) {
	d, err := name.NewDigest(ref)
	if err != nil {
		return "", err
	}
	opts, err := p.write(ctx)
	if err != nil {
		return "", err
	}
	desc, err := remote.Get(d, opts...)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	to := d.Context().Tag(tag)
	if err := remote.Tag(to, desc, opts...); err != nil {
		return "", fmt.Errorf("tag %s: %w", to, err)
	}
	return to.String(), nil
}

// PushWithoutCredentials tries to write to the registry as nobody, and returns
// what the registry said.
func (p *Platform) PushWithoutCredentials(ctx context.Context, image string) error {
	repo, err := name.NewRepository(Repository(image))
	if err != nil {
		return err
	}
	return remote.Write(repo.Tag("intruder"), empty.Image, p.read(ctx)...)
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
	img, err := signature(d, key)
	if err != nil {
		return err
	}
	opts, err := p.write(ctx)
	if err != nil {
		return err
	}
	tag := d.Context().Tag(signatureTag(d))
	if err := remote.Write(tag, img, opts...); err != nil {
		return fmt.Errorf("push signature %s: %w", tag, err)
	}
	return nil
}

func signatureTag(d name.Digest) string {
	return strings.Replace(d.DigestStr(), ":", "-", 1) + ".sig"
}

type payload struct {
	Critical struct {
		Identity struct {
			DockerReference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			DockerManifestDigest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

func signature(d name.Digest, key *ecdsa.PrivateKey) (v1.Image, error) {
	var say payload
	say.Critical.Identity.DockerReference = d.Context().Name()
	say.Critical.Image.DockerManifestDigest = d.DigestStr()
	say.Critical.Type = "cosign container image signature"
	body, err := json.Marshal(say)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	raw, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
	if err != nil {
		return nil, err
	}
	base := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	return mutate.Append(base, mutate.Addendum{
		Layer:       static.NewLayer(body, simpleSigning),
		Annotations: map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(raw)},
	})
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
	key, err := publicKey([]byte(cm.Data["cosign.pub"]))
	if err != nil {
		return err
	}
	img, err := remote.Image(d.Context().Tag(signatureTag(d)), p.read(ctx)...)
	if notFound(err) {
		return fmt.Errorf("%s: %w: it has none at all", ref, ErrNotSigned)
	}
	if err != nil {
		return fmt.Errorf("read the signature of %s: %w", ref, err)
	}
	return verify(img, d, key)
}

func publicKey(data []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("the foundry's public key is no PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the foundry's public key: %w", err)
	}
	ec, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the foundry's public key is a %T", key)
	}
	return ec, nil
}

func verify(img v1.Image, d name.Digest, key *ecdsa.PublicKey) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	for _, desc := range manifest.Layers {
		layer, err := img.LayerByDigest(desc.Digest)
		if err != nil {
			return err
		}
		rc, err := layer.Compressed()
		if err != nil {
			return err
		}
		var body bytes.Buffer
		_, err = body.ReadFrom(rc)
		rc.Close()
		if err != nil {
			return err
		}
		raw, err := base64.StdEncoding.DecodeString(desc.Annotations[signatureAnnotation])
		if err != nil {
			continue
		}
		var said payload
		hash := sha256.Sum256(body.Bytes())
		if ecdsa.VerifyASN1(key, hash[:], raw) && json.Unmarshal(body.Bytes(), &said) == nil &&
			said.Critical.Image.DockerManifestDigest == d.DigestStr() {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", d, ErrNotSigned)
}

func notFound(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode == http.StatusNotFound
}
