// Package image pushes what a build left behind to the foundry's registry. It
// owns the rule that an image is written by its digest alone; it refuses tags
// and connections to servers without a certificate of the platform's CA.
package image

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
)

// Access says how to reach a registry.
type Access struct {
	CA          credentials.CA
	Credentials *credentials.Basic // nil: read only
}

// Options gives the access as options of go-containerregistry.
func (a Access) Options(ctx context.Context) ([]remote.Option, error) {
	rt, err := a.CA.Transport()
	if err != nil {
		return nil, err
	}
	opts := []remote.Option{remote.WithContext(ctx), remote.WithTransport(rt), remote.WithUserAgent("druppie-foundry")}
	if a.Credentials != nil {
		opts = append(opts, remote.WithAuth(&authn.Basic{
			Username: a.Credentials.Username, Password: a.Credentials.Password,
		}))
	}
	return opts, nil
}

// Push writes the image in a docker archive to a repository and returns its
// reference by digest.
func Push(ctx context.Context, archive, repository string, access Access) (name.Digest, error) {
	repo, err := name.NewRepository(repository, name.StrictValidation)
	if err != nil {
		return name.Digest{}, fmt.Errorf("repository: %w", err)
	}
	img, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return name.Digest{}, fmt.Errorf("read the built image: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("digest of the built image: %w", err)
	}
	opts, err := access.Options(ctx)
	if err != nil {
		return name.Digest{}, err
	}
	ref := repo.Digest(digest.String())
	if err := remote.Write(ref, img, opts...); err != nil {
		return name.Digest{}, fmt.Errorf("push %s: %w", ref, err)
	}
	return ref, nil
}

// Digest parses a reference that must name its digest.
func Digest(ref string) (name.Digest, error) {
	d, err := name.NewDigest(ref, name.StrictValidation)
	if err != nil {
		return name.Digest{}, fmt.Errorf("image %q isn't named by digest: %w", ref, err)
	}
	return d, nil
}
