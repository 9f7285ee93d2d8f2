package modules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/bootstrap/component"
	"github.com/druppie/druppie-up/internal/command"
)

// suite is the Debian release of every root file system.
const suite = "bookworm"

// debianSeconds is what one root file system took on the reference machine.
const debianSeconds = 45

// deb is one installed package, with the hash of the archive it came from.
type deb struct {
	Name, Version, Architecture, SHA256 string
}

// rootfs is a Debian root file system in a file beside the list of what is in
// it.
type rootfs struct {
	tar  string
	debs []deb
}

// rootfs makes, or finds in the cache, the root file system of a package list.
// The packages are those that the distribution has now; their versions are recorded.
func (b *Builder) rootfs(ctx context.Context, d component.Debian, m *progress) (*rootfs, error) {
	name := strings.Join(d.Packages, ",")
	key, err := hash(format, "debian", suite, arch, d.Packages)
	if err != nil {
		return nil, err
	}
	if r, ok := b.rootfss[key]; ok {
		return r, nil
	}
	dir, err := b.dir("debian")
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, key[:16])
	r := &rootfs{tar: base + ".tar"}
	if raw, err := os.ReadFile(base + ".json"); err == nil {
		if err := json.Unmarshal(raw, &r.debs); err != nil {
			return nil, err
		}
		m.built("debian", name)
	} else {
		done := m.work("debian", name)
		err := b.mmdebstrap(ctx, base, d.Packages, r)
		done()
		if err != nil {
			return nil, err
		}
	}
	b.rootfss[key] = r
	return r, nil
}

func (b *Builder) mmdebstrap(ctx context.Context, base string, packages []string, r *rootfs) error {
	lists := base + ".lists"
	if err := errors.Join(os.RemoveAll(lists), os.MkdirAll(lists, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(lists)
	tmp := base + ".tmp.tar"
	args := []string{"--variant=essential", "--architectures=" + arch, "--include=" + strings.Join(packages, ","),
		// After a crash the root file system is made anew, so no file has to be synced.
		"--dpkgopt=force-unsafe-io",
		"--customize-hook=copy-out /var/lib/apt/lists " + lists}
	args = append(args, proxyOptions(ctx)...)
	args = append(args, suite, tmp)
	args = append(args, aptSources("/etc/apt")...)
	env := []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(debianEpoch, 10), "LC_ALL=C.UTF-8"}
	if _, err := b.tool(ctx, "", env, "mmdebstrap", args...); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	hashes, err := archiveHashes(lists)
	if err != nil {
		return err
	}
	if r.debs, err = installed(tmp, hashes); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r.debs, "", "  ")
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, r.tar); err != nil {
		return err
	}
	return os.WriteFile(base+".json", raw, 0o644)
}

// debianEpoch caps file times in root file systems. It is later than epoch:
// times from packages stay what they are, since byte-compiled Python records
// them.
const debianEpoch = 1793491200

// aptSources are this machine's own sources for the suite; none of them means
// that mmdebstrap takes Debian's.
func aptSources(dir string) []string {
	word := regexp.MustCompile(`(^|[\s:])` + suite + `(-updates|-security|/updates)?(\s|$)`)
	files, err := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	if err != nil {
		return nil
	}
	var found []string
	for _, f := range append([]string{filepath.Join(dir, "sources.list")}, files...) {
		text, err := os.ReadFile(f)
		lines := slices.Collect(strings.Lines(string(text)))
		if err == nil && slices.ContainsFunc(lines, func(line string) bool {
			return !strings.HasPrefix(strings.TrimSpace(line), "#") && word.MatchString(line)
		}) {
			found = append(found, f)
		}
	}
	return found
}

// proxyOptions hands on the proxies that this machine's apt goes through.
func proxyOptions(ctx context.Context) []string {
	out, err := command.Output(ctx, "apt-config", "dump")
	if err != nil {
		return nil // no apt here: mmdebstrap's own defaults
	}
	var opts []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "Acquire::") && strings.Contains(line, "::Proxy") && !strings.Contains(line, `""`) {
			opts = append(opts, "--aptopt="+line)
		}
	}
	return opts
}

// archiveHashes reads name/version/architecture -> SHA256 from apt's lists,
// whose signatures apt has checked.
func archiveHashes(dir string) (map[string]string, error) {
	hashes := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, "_Packages") {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for s := range stanzas(string(text)) {
			hashes[s["Package"]+"/"+s["Version"]+"/"+s["Architecture"]] = s["SHA256"]
		}
		return nil
	})
	return hashes, err
}

// stanzas are the one-line fields of each paragraph of a Debian control file.
func stanzas(text string) iter.Seq[map[string]string] {
	return func(yield func(map[string]string) bool) {
		for paragraph := range strings.SplitSeq(text, "\n\n") {
			s := map[string]string{}
			for line := range strings.Lines(paragraph) {
				if k, v, ok := strings.Cut(line, ":"); ok && line[0] != ' ' {
					s[k] = strings.TrimSpace(v)
				}
			}
			if len(s) > 0 && !yield(s) {
				return
			}
		}
	}
}

// installed lists the packages in a root file system.
func installed(tarFile string, hashes map[string]string) ([]deb, error) {
	status, err := readFromTar(tarFile, "var/lib/dpkg/status")
	if err != nil {
		return nil, err
	}
	var debs []deb
	for s := range stanzas(string(status)) {
		if s["Status"] == "install ok installed" {
			debs = append(debs, deb{s["Package"], s["Version"], s["Architecture"],
				hashes[s["Package"]+"/"+s["Version"]+"/"+s["Architecture"]]})
		}
	}
	if len(debs) == 0 {
		return nil, fmt.Errorf("%s: dpkg knows of no package", filepath.Base(tarFile))
	}
	slices.SortFunc(debs, func(a, b deb) int { return strings.Compare(a.Name, b.Name) })
	return debs, nil
}
