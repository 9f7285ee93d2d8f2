// Package component owns the description of what images are made of: one
// component.yaml each, saying which upstream sources, binaries and images make
// it up. A component is data. This package reads and checks it; it refuses to
// know how anything is fetched, built or installed.
package component

import "github.com/druppie/druppie-up/internal/names"

// Stages in the order in which the platform comes up.
const (
	StageCluster    = "cluster"
	StageFoundation = "foundation"
	StagePlatform   = "platform"
	StageBuild      = "flight"
)

// Stages lists every stage in order.
func Stages() []string {
	return []string{StageCluster, StageFoundation, StagePlatform, StageBuild}
}

// Component is what some of the platform's images are made of.
type Component struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Title   string `json:"title"`
	Licence string `json:"licence"`
	Stage   string `json:"stage"`
	// Order is the place within the stage; smaller is needed earlier.
	Order    int      `json:"order,omitempty"`
	Sources  []Source `json:"sources,omitempty"`
	Binaries []Binary `json:"binaries,omitempty"`
	Images   []Image  `json:"images,omitempty"`
}

// SourcesRef names the store's artifact that holds the upstream files of a
// component, or "" when it has none.
func (c Component) SourcesRef() string {
	for _, s := range c.Sources {
		if len(s.Files) > 0 {
			return names.OwnHost + "/sources/" + c.Name + ":" + c.Version
		}
	}
	return ""
}

// Source returns the source called name; "" means the first one.
func (c Component) Source(name string) (Source, bool) {
	for _, s := range c.Sources {
		if name == "" || s.Name == name {
			return s, true
		}
	}
	return Source{}, false
}

// Binary returns the binary called name.
func (c Component) Binary(name string) (Binary, bool) {
	for _, b := range c.Binaries {
		if b.Name == name {
			return b, true
		}
	}
	return Binary{}, false
}

// Source is one pinned upstream Go module.
type Source struct {
	// Name is how binaries and images of the component refer to it; the
	// component's own name when left out.
	Name    string `json:"name,omitempty"`
	Module  string `json:"module"`
	Version string `json:"version"`
	// Files are the upstream paths (file or folder, inside the module) that
	// rendering needs.
	Files []string `json:"files,omitempty"`
	Edit  Edit     `json:"edit,omitzero"`
	Build Build    `json:"build,omitzero"`
}

// Edit says how the module's go.mod changes before it is built: upstreams
// build inside their own repository and may lean on folders that the published
// module doesn't carry.
type Edit struct {
	// Main, when set, replaces the module by one of our own that requires it:
	// file name to content (go.mod is made up).
	Main map[string]string `json:"main,omitempty"`
	// Published says at which version modules stand that upstream replaces by
	// a folder below Path (e.g. "./staging/").
	Published []Published `json:"published,omitempty"`
	// DropReplace are module paths whose replace line goes.
	DropReplace []string `json:"dropReplace,omitempty"`
	// Require sets required versions.
	Require map[string]string `json:"require,omitempty"`
}

// Published points replaces by a folder at published modules.
type Published struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// Build holds what all binaries of one source share, so that one go build
// makes them all.
type Build struct {
	Tags []string `json:"tags,omitempty"`
	Cgo  bool     `json:"cgo,omitempty"`
	// Vars are string variables set by the linker (-X).
	Vars map[string]string `json:"vars,omitempty"`
	// Web names a package.json folder whose assets are built with pnpm.
	Web *Web `json:"web,omitempty"`
	// Seconds is what the build took on the reference machine with an empty
	// build cache; it only weighs the progress shown.
	Seconds int `json:"seconds,omitempty"`
}

// Web is a set of web assets that a source's node project builds.
type Web struct {
	// Tools are npm packages (name@version) that give node and pnpm.
	Tools []string `json:"tools"`
	// Script is what builds, run in the source folder by pnpm exec.
	Script []string `json:"script"`
	// Output are the folders that hold the result.
	Output  []string `json:"output"`
	Seconds int      `json:"seconds,omitempty"`
}

// Binary is one program built from a source.
type Binary struct {
	Name   string `json:"name"`
	Source string `json:"source,omitempty"`
	// Package is the Go main package.
	Package string `json:"package,omitempty"`
	// C is a single C file, linked statically; instead of Package.
	C string `json:"c,omitempty"`
}

// Image is one container image under its upstream name.
type Image struct {
	// Name is the full upstream name:tag.
	Name string `json:"name"`
	// Digest is upstream's index digest, where it is known.
	Digest string `json:"digest,omitempty"`
	// Ko is the import path behind a ko:// reference in upstream's manifests.
	Ko string `json:"ko,omitempty"`
	// Preloaded says that upstream's node image already carries it, so only a
	// node image of our own needs it in the store.
	Preloaded bool `json:"preloaded,omitempty"`
	// Debian is the root file system below the files.
	Debian *Debian   `json:"debian,omitempty"`
	Files  []Content `json:"files,omitempty"`
	Config Config    `json:"config,omitzero"`
}

// Debian is a root file system made of the distribution's packages.
type Debian struct {
	Packages []string `json:"packages"`
	// Remove are path patterns (as of path.Match, without leading slash) that
	// are left out.
	Remove []string `json:"remove,omitempty"`
	// Keep, when set, are the only paths taken.
	Keep []string `json:"keep,omitempty"`
}

// Content is a file, a link, a folder or a tree in an image. Exactly one of
// Binary, From, Text, Link, Dir and Generate is set.
type Content struct {
	// To is the absolute path in the image.
	To string `json:"to"`
	// Binary is a binary of this component, or component/binary.
	Binary string `json:"binary,omitempty"`
	// From is a path in the source named Source (the first when left out):
	// a file, or a folder whose content lands below To.
	From   string `json:"from,omitempty"`
	Source string `json:"source,omitempty"`
	// Text is the content itself.
	Text string `json:"text,omitempty"`
	// Embed is a file next to component.yaml.
	Embed string `json:"embed,omitempty"`
	// Link is a symbolic link's target.
	Link string `json:"link,omitempty"`
	Dir  bool   `json:"dir,omitempty"`
	// Generate names content that a program of the image makes.
	Generate string `json:"generate,omitempty"`
	// Mode is octal; 0644, or 0755 for binaries, folders.
	Mode string `json:"mode,omitempty"`
	UID  int    `json:"uid,omitempty"`
	GID  int    `json:"gid,omitempty"`
}

// Config is what a container of the image starts with.
type Config struct {
	User       string            `json:"user,omitempty"`
	WorkingDir string            `json:"workingDir,omitempty"`
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Env        []string          `json:"env,omitempty"`
	StopSignal string            `json:"stopSignal,omitempty"`
	Volumes    []string          `json:"volumes,omitempty"`
	Ports      []string          `json:"ports,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}
