package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/cosign/v2/pkg/oci"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"
)

// Annotations of an attestation's layer: cosign's own, and the run that made it.
const (
	predicateAnnotation = "predicateType"
	runAnnotation       = "druppie.io/run"
)

// dsseMediaType is what cosign stores attestations as.
const dsseMediaType = types.MediaType("application/vnd.dsse.envelope.v1+json")

// Attestation is a signed statement about an image: a DSSE envelope, as cosign keeps it beside the
// image in the .att form.
type Attestation struct {
	PredicateType string
	Run           string // namespace/name of the pipeline run that made it
	Envelope      json.RawMessage
}

// Attest adds attestations to those of the image, all in one write. A run attests a predicate once:
// make is called only for those that aren't there yet, and it says which were added.
func Attest(ctx context.Context, ref name.Digest, run string, predicates []string, make func(predicate string) (json.RawMessage, error), opts ...remote.Option) ([]string, error) {
	there, err := Attestations(ctx, ref, opts...)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	for _, a := range there {
		if a.Run == run {
			done[a.PredicateType] = true
		}
	}
	var entity oci.SignedEntity
	entity, err = ociremote.SignedEntity(ref, ociremote.WithRemoteOptions(opts...))
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", ref, err)
	}
	var added []string
	for _, predicate := range predicates {
		if done[predicate] {
			continue
		}
		envelope, err := make(predicate)
		if err != nil {
			return nil, fmt.Errorf("attest %s: %w", predicate, err)
		}
		att, err := static.NewAttestation(envelope, static.WithLayerMediaType(dsseMediaType), static.WithAnnotations(map[string]string{
			predicateAnnotation: predicate, runAnnotation: run,
		}))
		if err != nil {
			return nil, fmt.Errorf("wrap the attestation: %w", err)
		}
		if entity, err = mutate.AttachAttestationToEntity(entity, att); err != nil {
			return nil, fmt.Errorf("attach the attestation: %w", err)
		}
		added = append(added, predicate)
	}
	if len(added) == 0 {
		return nil, nil
	}
	if err := ociremote.WriteAttestations(ref.Context(), entity, ociremote.WithRemoteOptions(opts...)); err != nil {
		return nil, fmt.Errorf("push the attestations: %w", err)
	}
	return added, nil
}

// Attestations reads the image's attestations, whoever made them: nothing is verified here.
func Attestations(ctx context.Context, ref name.Digest, opts ...remote.Option) ([]Attestation, error) {
	tag, err := ociremote.AttestationTag(ref, ociremote.WithRemoteOptions(opts...))
	if err != nil {
		return nil, fmt.Errorf("attestations of %s: %w", ref, err)
	}
	list, err := ociremote.Signatures(tag, ociremote.WithRemoteOptions(opts...))
	var missing *transport.Error
	if errors.As(err, &missing) && missing.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("attestations of %s: %w", ref, err)
	}
	layers, err := list.Get()
	if err != nil {
		return nil, fmt.Errorf("attestations of %s: %w", ref, err)
	}
	var out []Attestation
	for _, l := range layers {
		envelope, err := l.Payload()
		if err != nil {
			return nil, fmt.Errorf("read an attestation of %s: %w", ref, err)
		}
		annotations, err := l.Annotations()
		if err != nil {
			return nil, fmt.Errorf("read an attestation of %s: %w", ref, err)
		}
		out = append(out, Attestation{PredicateType: annotations[predicateAnnotation], Run: annotations[runAnnotation], Envelope: envelope})
	}
	return out, nil
}
