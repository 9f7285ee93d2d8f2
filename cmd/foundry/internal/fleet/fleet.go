// Package fleet lays out the fleet repository: which files of it are a
// service's, and what a promotion writes to them. The same commit and digest give
// the same bytes, so that whoever approves a promotion can work out what it must
// contain instead of reading what it claims. It refuses to write outside the
// service's own folder and its line in the tenant's listing.
package fleet

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	kustomization = "kustomization.yaml"
	// deployDir is the folder with the deployment, in a service's repository
	// and again in the service's folder in fleet.
	deployDir = "deploy"

	// CommitAnnotation names the commit that an object was promoted from.
	CommitAnnotation = "druppie.io/commit"
	// RepositoryAnnotation names the repository of that commit.
	RepositoryAnnotation = "druppie.io/repository"
)

// Service is where a service lives.
type Service struct {
	Repository string // full name of its repository, druppie/drone-service
	Tenant     string // namespace it runs in, drones
	Image      string // repository of its image, without tag or digest
}

// Name is the service's short name, its repository's.
func (s Service) Name() string { return path.Base(s.Repository) }

// Dir is the service's folder in fleet.
func (s Service) Dir() string { return path.Join("tenants", s.Tenant, s.Name()) }

// Listing is the tenant's file that names its services.
func (s Service) Listing() string { return path.Join("tenants", s.Tenant, kustomization) }

// Release is one state of a service.
type Release struct {
	Commit string // full hash
	Digest string // sha256:…
}

var (
	dnsLabel   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	fullHash   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	fullDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

func (s Service) check() error {
	if !dnsLabel.MatchString(s.Tenant) {
		return fmt.Errorf("tenant %q isn't a namespace's name", s.Tenant)
	}
	if !dnsLabel.MatchString(s.Name()) {
		return fmt.Errorf("service %q can't be a folder in fleet: want lower case letters, digits and dashes", s.Name())
	}
	return nil
}

// Check refuses hashes and digests that aren't whole.
func (r Release) Check() error {
	if !fullHash.MatchString(r.Commit) {
		return fmt.Errorf("commit %q isn't a full commit hash", r.Commit)
	}
	if !fullDigest.MatchString(r.Digest) {
		return fmt.Errorf("digest %q isn't a sha256 digest", r.Digest)
	}
	return nil
}

// Files are contents by path.
type Files map[string][]byte

// Render gives all files of the service's folder, by path in fleet. deploy are
// the files below deploy/ at the released commit.
func Render(s Service, r Release, deploy Files) (Files, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	if err := checkDeploy(s, deploy); err != nil {
		return nil, err
	}
	top, err := sigsyaml.Marshal(types.Kustomization{
		TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
		Resources: []string{deployDir},
		Images:    []types.Image{{Name: s.Image, Digest: r.Digest}},
		CommonAnnotations: map[string]string{
			CommitAnnotation:     r.Commit,
			RepositoryAnnotation: s.Repository,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", kustomization, err)
	}
	out := Files{path.Join(s.Dir(), kustomization): top}
	for name, data := range deploy {
		out[path.Join(s.Dir(), deployDir, name)] = data
	}
	return out, nil
}

func checkDeploy(s Service, deploy Files) error {
	if _, ok := deploy[kustomization]; !ok {
		return fmt.Errorf("%s has no %s/%s: nothing says how to run it", s.Repository, deployDir, kustomization)
	}
	named := false
	for name, data := range deploy {
		if name != path.Clean(name) || path.IsAbs(name) || strings.HasPrefix(name, "..") {
			return fmt.Errorf("%s/%s: a path may not leave the folder", deployDir, name)
		}
		named = named || bytes.Contains(data, []byte(s.Image))
	}
	if !named {
		return fmt.Errorf("no file in %s/ of %s names the image %s: the new digest would change nothing", deployDir, s.Repository, s.Image)
	}
	return nil
}

// List gives the tenant's listing with the service in it. The current listing
// may be nil; one that names the service already comes back unchanged.
func List(s Service, current []byte) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(current)) == 0 {
		return sigsyaml.Marshal(types.Kustomization{
			TypeMeta:  types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind},
			Resources: []string{s.Name()},
		})
	}
	node, err := yaml.Parse(string(current))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", s.Listing(), err)
	}
	resources, err := node.Pipe(yaml.LookupCreate(yaml.SequenceNode, "resources"))
	if err != nil {
		return nil, fmt.Errorf("%s: resources: %w", s.Listing(), err)
	}
	names, err := resources.Elements()
	if err != nil {
		return nil, fmt.Errorf("%s: resources: %w", s.Listing(), err)
	}
	for _, n := range names {
		if path.Clean(n.YNode().Value) == s.Name() {
			return current, nil
		}
	}
	resources.YNode().Style = 0 // a flow list (resources: []) becomes lines of its own
	if err := resources.PipeE(yaml.Append(yaml.NewStringRNode(s.Name()).YNode())); err != nil {
		return nil, fmt.Errorf("%s: add %s: %w", s.Listing(), s.Name(), err)
	}
	text, err := node.String()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", s.Listing(), err)
	}
	return []byte(text), nil
}

// Released reads which release the files of fleet hold for the service; zero
// where it was never promoted.
func Released(s Service, files Files) (Release, error) {
	data, ok := files[path.Join(s.Dir(), kustomization)]
	if !ok {
		return Release{}, nil
	}
	var k types.Kustomization
	if err := sigsyaml.Unmarshal(data, &k); err != nil {
		return Release{}, fmt.Errorf("parse %s in fleet: %w", path.Join(s.Dir(), kustomization), err)
	}
	r := Release{Commit: k.CommonAnnotations[CommitAnnotation]}
	for _, img := range k.Images {
		if img.Name == s.Image {
			r.Digest = img.Digest
		}
	}
	return r, nil
}

// Promote gives what all files of fleet are after a promotion, from what they
// were before it. Files elsewhere stay as they are; files in the service's
// folder that the release doesn't have go.
func Promote(s Service, r Release, deploy, before Files) (Files, error) {
	files, err := Render(s, r, deploy)
	if err != nil {
		return nil, err
	}
	listing, err := List(s, before[s.Listing()])
	if err != nil {
		return nil, err
	}
	files[s.Listing()] = listing
	for name, data := range before {
		if _, ok := files[name]; !ok && !strings.HasPrefix(name, s.Dir()+"/") {
			files[name] = data
		}
	}
	return files, nil
}

// Differences names the paths in which two sets of files differ, each with how.
func Differences(want, got Files) []string {
	var out []string
	for name, data := range want {
		switch other, ok := got[name]; {
		case !ok:
			out = append(out, name+" is missing")
		case !bytes.Equal(data, other):
			out = append(out, name+" has other contents")
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			out = append(out, name+" doesn't belong there")
		}
	}
	slices.Sort(out)
	return out
}
