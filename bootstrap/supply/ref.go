package supply

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// ref is an image name taken apart.
type ref struct {
	host, repo  string // docker.io, library/python
	name        string // host/repo
	tag, digest string
}

func (r ref) String() string {
	s := r.name
	if r.tag != "" {
		s += ":" + r.tag
	}
	if r.digest != "" {
		s += "@" + r.digest
	}
	return s
}

// parseRef takes name, name:tag, name@digest and name:tag@digest. Short names
// mean docker.io, as they do for containerd; a name with neither tag nor digest
// means :latest.
func parseRef(s string) (ref, error) {
	rest, digest, hasDigest := strings.Cut(s, "@")
	tag, err := name.NewTag(rest)
	if err != nil {
		return ref{}, fmt.Errorf("image name %q: %w", s, err)
	}
	if hasDigest {
		if _, err := name.NewDigest(rest + "@" + digest); err != nil {
			return ref{}, fmt.Errorf("image name %q: %w", s, err)
		}
	}
	r := ref{host: tag.RegistryStr(), repo: tag.RepositoryStr(), tag: tag.TagStr(), digest: digest}
	if r.host == name.DefaultRegistry { // index.docker.io is what only go-containerregistry calls it
		r.host = "docker.io"
	}
	r.name = r.host + "/" + r.repo
	if hasDigest && !strings.Contains(rest[strings.LastIndex(rest, "/")+1:], ":") {
		r.tag = "" // the parser's default, nobody wrote it
	}
	return r, nil
}
