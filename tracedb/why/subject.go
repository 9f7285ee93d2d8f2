package why

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
)

// Forms says what Subject understands, for people.
const Forms = "give an image digest (sha256:…), a full commit hash, namespace/pod, owner/repository, owner/repository#pull, alg-xxxxxxxx, or type:value"

var (
	hash   = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)
	prefix = regexp.MustCompile(`^[0-9a-f]{7,63}$`)
)

// Subject reads what people paste: an image digest, alone or after the @ of an image's name; a full
// commit hash; the address of a commit, a pull request or a repository in Gitea; alg-xxxxxxxx;
// owner/name or namespace/pod, which Ask tells apart by what the log knows; owner/name#number; and
// type:value for every type of ref. What can't be understood is ErrInvalid with a hint.
func Subject(s string) (tracedb.Ref, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return tracedb.Ref{}, invalid("nothing was asked about", Forms)
	}
	if len(s) > 2048 {
		return tracedb.Ref{}, invalid("that is too long to be the name of anything", Forms)
	}
	if ref, ok := typed(s); ok {
		return checked(ref)
	}
	if ref, ok := address(s); ok {
		return checked(ref)
	}
	if _, digest, ok := strings.Cut(s, "@"); ok {
		return checked(tracedb.Ref{Type: tracedb.RefImage, Value: strings.ToLower(digest)})
	}
	lower := strings.ToLower(s)
	switch {
	case strings.HasPrefix(lower, "sha256:"):
		// A key's fingerprint has the same form in capitals.
		if strings.HasPrefix(s, "SHA256:") {
			return checked(tracedb.Ref{Type: tracedb.RefKey, Value: "SHA256:" + lower[len("sha256:"):]})
		}
		return checked(tracedb.Ref{Type: tracedb.RefImage, Value: lower})
	case hash.MatchString(lower):
		return tracedb.Ref{Type: tracedb.RefCommit, Value: lower}, nil
	case prefix.MatchString(lower):
		return tracedb.Ref{}, invalid("a part of a hash may stand for several", "give all of it: git rev-parse "+lower)
	case strings.HasPrefix(lower, "alg-"):
		return checked(tracedb.Ref{Type: tracedb.RefAlgorithm, Value: lower})
	case strings.Contains(s, "#"):
		return checked(tracedb.Ref{Type: tracedb.RefPull, Value: s})
	case strings.Contains(s, "/"):
		return checked(tracedb.Ref{Type: tracedb.RefRepository, Value: s})
	}
	return tracedb.Ref{}, invalid("that isn't the name of anything in the log", Forms)
}

// Path is a subject as the last part of an address. Its slashes stay, which is easier to read, unless
// the path would then have another simplest form: a spec's id may be an address, with two of them.
func Path(ref tracedb.Ref) string {
	escaped := url.PathEscape(ref.String())
	if readable := strings.ReplaceAll(escaped, "%2F", "/"); readable == path.Clean(readable) {
		return readable
	}
	return escaped
}

// typed reads type:value.
func typed(s string) (tracedb.Ref, bool) {
	kind, value, ok := strings.Cut(s, ":")
	t := tracedb.RefType(kind)
	return tracedb.Ref{Type: t, Value: value}, ok && slices.Contains(tracedb.RefTypes(), t)
}

// address reads the address of a page in Gitea.
func address(s string) (tracedb.Ref, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return tracedb.Ref{}, false
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	repository := strings.TrimSuffix(strings.Join(parts[:min(2, len(parts))], "/"), ".git")
	switch {
	case len(parts) >= 4 && parts[2] == "commit":
		return tracedb.Ref{Type: tracedb.RefCommit, Value: parts[3]}, true
	case len(parts) >= 4 && parts[2] == "pulls":
		return tracedb.Ref{Type: tracedb.RefPull, Value: repository + "#" + parts[3]}, true
	}
	return tracedb.Ref{Type: tracedb.RefRepository, Value: repository}, true
}

func checked(ref tracedb.Ref) (tracedb.Ref, error) {
	if err := ref.Check(); err != nil {
		return tracedb.Ref{}, invalid(fmt.Sprintf("as a %s: %v", ref.Type, err), Forms)
	}
	return ref, nil
}

func invalid(message, hint string) error {
	return tracedb.ErrInvalid.Says("%s", message).At("subject").WithHint(hint)
}

// readings are what a subject may mean, in the order in which they are tried: names of pods and
// repositories look alike, and so do commits of a service, commits of the fleet (which are known as
// revisions, too, and no service's are), and digests without their algorithm.
func readings(ref tracedb.Ref) []tracedb.Ref {
	out := []tracedb.Ref{ref}
	add := func(t tracedb.RefType, value string) {
		if other := (tracedb.Ref{Type: t, Value: value}); other.Check() == nil {
			out = append(out, other)
		}
	}
	switch ref.Type {
	case tracedb.RefRepository:
		add(tracedb.RefPod, ref.Value)
		add(tracedb.RefRun, ref.Value)
	case tracedb.RefCommit:
		out = []tracedb.Ref{{Type: tracedb.RefRevision, Value: ref.Value}, ref}
		add(tracedb.RefImage, "sha256:"+ref.Value)
	}
	return out
}
