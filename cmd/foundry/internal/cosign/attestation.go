package cosign

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sigstore/cosign/v2/pkg/oci/mutate"
	ociremote "github.com/sigstore/cosign/v2/pkg/oci/remote"
	"github.com/sigstore/cosign/v2/pkg/oci/static"

	"github.com/druppie/druppie-up/tracedb/attest"
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

// Attest adds statements to the attestations of the image, all in one write. A run attests a predicate once:
// only statements that aren't there yet are signed, and it says which predicates were added.
func Attest(ctx context.Context, ref name.Digest, run string, statements []attest.Statement,
	sign func(attest.Statement) (json.RawMessage, error), opts ...remote.Option) ([]string, error) {
	present, err := Attestations(ctx, ref, opts...)
	if err != nil {
		return nil, err
	}
	remoteOpts := ociremote.WithRemoteOptions(opts...)
	entity, err := ociremote.SignedEntity(ref, remoteOpts)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", ref, err)
	}
	var added []string
	for _, st := range statements {
		if slices.ContainsFunc(present, func(a Attestation) bool { return a.Run == run && a.PredicateType == st.PredicateType }) {
			continue
		}
		envelope, err := sign(st)
		if err != nil {
			return nil, fmt.Errorf("attest %s: %w", st.PredicateType, err)
		}
		att, err := static.NewAttestation(envelope, static.WithLayerMediaType(dsseMediaType), static.WithAnnotations(map[string]string{
			predicateAnnotation: st.PredicateType, runAnnotation: run,
		}))
		if err != nil {
			return nil, fmt.Errorf("wrap the attestation: %w", err)
		}
		if entity, err = mutate.AttachAttestationToEntity(entity, att); err != nil {
			return nil, fmt.Errorf("attach the attestation: %w", err)
		}
		added = append(added, st.PredicateType)
	}
	if len(added) == 0 {
		return nil, nil
	}
	if err := ociremote.WriteAttestations(ref.Context(), entity, remoteOpts); err != nil {
		return nil, fmt.Errorf("push the attestations: %w", err)
	}
	return added, nil
}

// Attestations reads the image's attestations, whoever made them: nothing is verified here.
func Attestations(ctx context.Context, ref name.Digest, opts ...remote.Option) ([]Attestation, error) {
	layers, err := stored(ref, ociremote.AttestationTag, opts...)
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
