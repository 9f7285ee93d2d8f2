package tracedb

import (
	"fmt"
	"regexp"
)

// shape is how the value of a ref must look, and how that is said.
type shape struct {
	pattern *regexp.Regexp
	want    string
}

// Names of Kubernetes are DNS labels or subdomains, 63 and 253 long at most; Gitea's owners and
// repositories have letters, digits, dash, dot and underscore. None of these shapes lets a space, a
// quote, a bracket or a control character through.
var shapes = map[RefType]shape{
	RefRepository: {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`), "owner/name"},
	RefCommit:     {regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`), "a full commit hash in lower-case hex"},
	RefRevision:   {regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`), "a full commit hash in lower-case hex"},
	RefPull:       {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}#[1-9][0-9]{0,9}$`), "owner/name#number"},
	RefRun:        {regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9.-]{0,252}$`), "namespace/name"},
	RefImage:      {regexp.MustCompile(`^sha256:[0-9a-f]{64}$`), "sha256: and 64 lower-case hex digits"},
	RefAlgorithm:  {regexp.MustCompile(`^alg-[a-z0-9]{8}$`), "alg- and 8 lower-case letters or digits"},
	RefSession:    {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@#+=-]{0,199}$`), "at most 200 letters, digits and . _ : / @ # + = -"},
	RefSpec:       {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@#+=-]{0,199}$`), "at most 200 letters, digits and . _ : / @ # + = -"},
	RefPod:        {regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9.-]{0,252}$`), "namespace/name"},
	RefNamespace:  {regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`), "the name of a namespace"},
	RefRecord:     {regexp.MustCompile(`^(?:0|[1-9][0-9]{0,17})$`), "the place of a record, in decimal"},
	RefKey:        {regexp.MustCompile(`^SHA256:[0-9a-f]{64}$`), "SHA256: and 64 lower-case hex digits"},
}

// Check says what is wrong with the ref's type or value, nil if nothing is. Its message doesn't
// repeat the value, which may be anything.
func (r Ref) Check() error {
	s, ok := shapes[r.Type]
	if !ok {
		return fmt.Errorf("there is no such type of ref")
	}
	if !s.pattern.MatchString(r.Value) {
		return fmt.Errorf("want %s", s.want)
	}
	return nil
}
