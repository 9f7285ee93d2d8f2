package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/druppie/druppie-up/bootstrap/frontdoor"
	"github.com/druppie/druppie-up/internal/names"
)

// Images is where upstream's images are kept, by their full name.
type Images interface {
	Image(ref string) (v1.Image, error)
}

// baseImages are what services are built on: Kaniko asks the foundry's registry for
// them, and nothing else.
func baseImages() map[string]string {
	return map[string]string{"base/python:3.11": "docker.io/library/python:3.11-slim-bookworm"}
}

// baseImageRefs are the images that baseImages are made from.
func baseImageRefs() []string { return slices.Sorted(maps.Values(baseImages())) }

// PushBaseImages puts the base images of services into the foundry's registry,
// unless they are there already.
func PushBaseImages(ctx context.Context, c client.Reader, endpoint frontdoor.Endpoint, images Images) error {
	s := &corev1.Secret{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: names.NamespaceFoundry, Name: names.RegistryWriter}, s); err != nil {
		return fmt.Errorf("credentials of the registry: %w", err)
	}
	rt, err := endpoint.Transport()
	if err != nil {
		return err
	}
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(rt),
		remote.WithAuth(&authn.Basic{Username: string(s.Data["username"]), Password: string(s.Data["password"])}),
	}
	for to, from := range baseImages() {
		ref, err := name.ParseReference(endpoint.Address("registry")+"/"+to, name.StrictValidation)
		if err != nil {
			return fmt.Errorf("seed %s: %w", to, err)
		}
		img, err := images.Image(from)
		if err != nil {
			return fmt.Errorf("seed %s with %s: %w", to, from, err)
		}
		if err := seed(ref, img, options); err != nil {
			return fmt.Errorf("seed %s with %s: %w", to, from, err)
		}
	}
	return nil
}

func seed(ref name.Reference, img v1.Image, options []remote.Option) error {
	want, err := img.Digest()
	if err != nil {
		return err
	}
	have, err := remote.Head(ref, options...)
	if err == nil && have.Digest == want {
		return nil
	}
	var answer *transport.Error
	if err != nil && (!errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound) {
		return err
	}
	return remote.Write(ref, img, options...)
}
