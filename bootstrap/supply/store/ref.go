package store

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// Ref is an image name taken apart.
type Ref struct {
	Name        string // host and repository: docker.io/library/python
	Tag, Digest string // empty where the name has none
}

// Tagged is the name under which the store keeps the image.
func (r Ref) Tagged() string { return r.Name + ":" + r.Tag }

func (r Ref) String() string {
	s := r.Name
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// ParseRef takes name, name:tag, name@digest and name:tag@digest. Short names
// mean docker.io, as they do for containerd; a name with neither tag nor digest
// means :latest.
func ParseRef(s string) (Ref, error) {
	rest, digest, hasDigest := strings.Cut(s, "@")
	tag, err := name.NewTag(rest)
	if err != nil {
		return Ref{}, fmt.Errorf("image name %q: %w", s, err)
	}
	if hasDigest {
		if _, err := name.NewDigest(rest + "@" + digest); err != nil {
			return Ref{}, fmt.Errorf("image name %q: %w", s, err)
		}
	}
	host := tag.RegistryStr()
	if host == name.DefaultRegistry { // index.docker.io is what only go-containerregistry calls it
		host = "docker.io"
	}
	r := Ref{Name: host + "/" + tag.RepositoryStr(), Tag: tag.TagStr(), Digest: digest}
	if hasDigest && !strings.Contains(rest[strings.LastIndex(rest, "/")+1:], ":") {
		r.Tag = "" // the parser's default, nobody wrote it
	}
	return r, nil
}
