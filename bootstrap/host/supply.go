package host

import (
	"context"
	"errors"
	"fmt"
	"go/version"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// tool is a program that building images from modules needs.
type tool struct {
	program string
	apt     []string // packages, none if the distribution's is not the one to use
	mend    string
}

var tools = []tool{
	{program: "git", apt: []string{"git"}},
	{program: "gcc", apt: []string{"gcc", "libc6-dev"}},
	{program: "mmdebstrap", apt: []string{"mmdebstrap"}},
	{program: "npm", apt: []string{"npm"}},
	{program: "go", mend: "install Go from https://go.dev/dl"},
}

func (h *Host) checkTools(ctx context.Context) Finding {
	if h.opt.Supply != "modules" && h.opt.Supply != "auto" {
		return Finding{Status: Skip, Found: "the supply " + h.opt.Supply + " builds nothing"}
	}
	missing := h.missingTools()
	goTooOld := h.oldGo(ctx)
	if len(missing) == 0 && goTooOld == "" {
		return Finding{Status: OK, Found: "all there"}
	}
	f := Finding{Status: Fail}
	var found, mend, packages []string
	for _, t := range missing {
		found = append(found, t.program)
		packages = append(packages, t.apt...)
		if t.mend != "" {
			mend = append(mend, t.mend)
		}
	}
	if len(found) > 0 {
		f.Found = "missing: " + strings.Join(found, ", ")
	}
	if goTooOld != "" {
		f.Found = strings.TrimPrefix(f.Found+"; "+goTooOld, "; ")
		mend = append(mend, "install "+runtime.Version()+" or newer from https://go.dev/dl")
	}
	if len(packages) > 0 {
		install := "apt-get install --no-install-recommends " + strings.Join(packages, " ")
		mend = append([]string{install}, mend...)
		if os.Geteuid() == 0 && h.apt() {
			f.FixDoes = []string{"run apt-get update and " + install}
		}
	}
	f.Mend = strings.Join(mend, "; ")
	// They are needed only while the store lacks images, and not where a registry has them.
	if h.opt.StoreFull || h.opt.Supply == "auto" && h.registry(ctx) == nil {
		f.Status = Warn
	}
	return f
}

func (h *Host) installTools(ctx context.Context) error {
	var packages []string
	for _, t := range h.missingTools() {
		packages = append(packages, t.apt...)
	}
	if len(packages) == 0 {
		return nil
	}
	return h.install(ctx, packages...)
}

func (h *Host) missingTools() []tool {
	var missing []tool
	for _, t := range tools {
		// gcc without the C library's headers builds nothing.
		if !installed(t.program) || t.program == "gcc" && !h.headers() {
			missing = append(missing, t)
		}
	}
	return missing
}

func (h *Host) headers() bool {
	_, err := os.Stat(h.path("/usr/include/stdlib.h"))
	return err == nil
}

// oldGo says what is wrong with a Go that is older than the one that built
// this program; older ones can't build what it asks them to.
func (h *Host) oldGo(ctx context.Context) string {
	out, err := h.run(ctx, "go", "-C", "/", "env", "GOVERSION")
	if err != nil {
		return "" // missing: reported already
	}
	have := strings.TrimSpace(string(out))
	if version.IsValid(have) && version.IsValid(runtime.Version()) && version.Compare(version.Lang(have), version.Lang(runtime.Version())) < 0 {
		return fmt.Sprintf("%s is older than %s, which built this program", have, runtime.Version())
	}
	return ""
}

// probeDeadline bounds each look at the network.
const probeDeadline = 8 * time.Second

func (h *Host) checkSupply(ctx context.Context) Finding {
	probes := []func(context.Context) error{h.registry, h.moduleProxy, h.debian, h.npm}
	errs := make([]error, len(probes))
	var wait sync.WaitGroup
	for i, probe := range probes {
		wait.Go(func() {
			deadline, cancel := context.WithTimeout(ctx, probeDeadline)
			defer cancel()
			errs[i] = probe(deadline)
		})
	}
	wait.Wait()
	return supplyFinding(h.opt.Supply, h.opt.StoreFull, errs[0], errors.Join(errs[1:]...))
}

// supplyFinding says which supply will be taken, and whether there is one.
func supplyFinding(want string, filled bool, registry, modules error) Finding {
	say := func(name string, err error) string {
		if err == nil {
			return name + " within reach"
		}
		return fmt.Sprintf("%s out of reach (%s)", name, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	f := Finding{Status: OK, Found: say("registry", registry) + ", " + say("modules", modules)}
	var usable bool
	switch want {
	case "registry":
		usable = registry == nil
	case "modules":
		usable = modules == nil
	default:
		usable = registry == nil || modules == nil
		switch {
		case registry == nil:
			f.Found += ": auto takes registry"
		case modules == nil:
			f.Found += ": auto takes modules"
		}
	}
	if usable {
		return f
	}
	f.Status = Fail
	f.Mend = "connect to the network, set HTTPS_PROXY if it has a proxy, or name what it reaches: --registry-mirror, or `go env -w GOPROXY=...` for a module proxy"
	if filled {
		f.Status, f.Found = Warn, f.Found+"; the store on disk will have to do"
	}
	return f
}

// registry asks whether the container registries answer.
func (h *Host) registry(ctx context.Context) error {
	deadline, cancel := context.WithTimeout(ctx, probeDeadline)
	defer cancel()
	return h.opt.Registry(deadline)
}

// moduleProxy asks for a module in the way that builds will: by the go
// command, with whatever it is set to.
func (h *Host) moduleProxy(ctx context.Context) error {
	if !installed("go") {
		return errors.New("go is missing")
	}
	if _, err := h.run(ctx, "go", "-C", "/", "list", "-m", "golang.org/x/mod@latest"); err != nil {
		return fmt.Errorf("module proxy: %w", err)
	}
	return nil
}

// debian asks the first of the host's own package sources.
func (h *Host) debian(ctx context.Context) error {
	if !h.apt() {
		return errors.New("this distribution has no apt-get to find Debian packages by")
	}
	out, err := h.run(ctx, "apt-get", "update", "--print-uris")
	if err != nil {
		return fmt.Errorf("package sources: %w", err)
	}
	address := firstURI(string(out))
	if address == "" {
		return errors.New("no package sources are configured")
	}
	if !strings.HasPrefix(address, "http") {
		return nil // a disk, or a method of apt's own
	}
	if err := answers(ctx, address); err != nil {
		return fmt.Errorf("Debian packages: %w", err)
	}
	return nil
}

// firstURI takes the first address out of apt-get's lines of 'address' name
// size.
func firstURI(out string) string {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "'"); ok {
			address, _, _ := strings.Cut(rest, "'")
			return address
		}
	}
	return ""
}

// npm asks the registry that npm is set to.
func (h *Host) npm(ctx context.Context) error {
	if !installed("npm") {
		return errors.New("npm is missing")
	}
	if _, err := h.run(ctx, "npm", "ping"); err != nil {
		return fmt.Errorf("npm's registry: %w", err)
	}
	return nil
}

// answers says whether an HTTP server is at an address, also one that wants
// credentials.
func answers(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return plainCause(err)
	}
	res.Body.Close()
	if res.StatusCode >= 500 || res.StatusCode == http.StatusForbidden || res.StatusCode == http.StatusProxyAuthRequired {
		return fmt.Errorf("answered %s", res.Status)
	}
	return nil
}

// plainCause takes the address, which may hold credentials, off the error.
func plainCause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return errors.New("its name doesn't resolve")
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	}
	return err
}
