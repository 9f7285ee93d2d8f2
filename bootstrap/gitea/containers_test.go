//go:build containers

package gitea_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/daemon"
	"github.com/testcontainers/testcontainers-go"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	setup "github.com/druppie/druppie-up/bootstrap/gitea"
	"github.com/druppie/druppie-up/bootstrap/supply/store"
)

// The images that the charts name.
const (
	giteaImage    = "docker.gitea.com/gitea:1.26.0-rootless"
	registryImage = "docker.io/library/registry:3.1.2"
	caddyImage    = "docker.io/library/caddy:2.10.0"
)

func startGitea(t *testing.T, files map[string]string) (int, setup.Exec) {
	t.Helper()
	c := start(t, giteaImage,
		testcontainers.WithEntrypoint("/app/gitea/gitea", "web", "--config", "/etc/gitea/app.ini"),
		mounted(files),
		publish("3000/tcp"),
		testcontainers.WithWaitStrategyAndDeadline(3*time.Minute, wait.ForLog("Starting new Web server").WithStartupTimeout(3*time.Minute)))
	return port(t, c, "3000/tcp"), func(ctx context.Context, cmd []string, stdin io.Reader) (string, error) {
		input, err := io.ReadAll(stdin)
		if err != nil {
			return "", err
		}
		piped := append([]string{"/bin/sh", "-c", `printf %s "$0" | "$@"`, string(input)}, cmd...)
		code, out, err := c.Exec(ctx, piped, tcexec.Multiplexed())
		if err != nil {
			return "", err
		}
		said, err := io.ReadAll(out)
		if err == nil && code != 0 {
			err = fmt.Errorf("exit code %d: %s", code, said)
		}
		return string(said), err
	}
}

// startRegistry starts the registry's pod, which is two containers with one
// network, and the front door beside it.
func startRegistry(t *testing.T, files, env map[string]string) (frontPort, inside int) {
	t.Helper()
	noReaper(t)
	net, err := network.New(t.Context())
	allowed(t, "network", err)
	t.Cleanup(func() {
		if err := net.Remove(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("remove network: %v", err)
		}
	})
	registry := start(t, registryImage,
		testcontainers.WithEntrypoint("/bin/registry", "serve", "/etc/registry/registry.yml"),
		testcontainers.WithEnv(env), mounted(files), publish("5000/tcp"),
		network.WithNetwork([]string{"registry.foundry.svc.cluster.local"}, net))
	start(t, caddyImage, caddy("/etc/registry/Caddyfile"), testcontainers.WithEnv(env), mounted(files),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			h.NetworkMode = container.NetworkMode("container:" + registry.GetContainerID())
		}),
		testcontainers.WithWaitStrategy(wait.ForLog("serving initial configuration")))
	front := start(t, caddyImage, caddy("/etc/frontdoor/Caddyfile"), mounted(files), publish("8443/tcp"),
		network.WithNetwork(nil, net),
		testcontainers.WithWaitStrategy(wait.ForLog("serving initial configuration")))
	return port(t, front, "8443/tcp"), port(t, registry, "5000/tcp")
}

func caddy(config string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithEntrypoint("/usr/bin/caddy", "run", "--config", config, "--adapter", "caddyfile")
}

// start runs a container of an image of the store, under a name of the test's
// own, and leaves nothing behind.
func start(t *testing.T, ref string, opts ...testcontainers.ContainerCustomizer) *testcontainers.DockerContainer {
	t.Helper()
	noReaper(t)
	image := load(t, ref)
	c, err := testcontainers.Run(t.Context(), image, opts...)
	t.Cleanup(func() {
		if c == nil {
			return
		}
		if err := c.Terminate(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("remove container: %v", err)
		}
	})
	if err != nil {
		said := "nothing"
		if c != nil {
			if logs, err := c.Logs(t.Context()); err == nil {
				b, _ := io.ReadAll(logs)
				said = string(b)
			}
		}
		t.Fatalf("start %s: %v; it said: %s", ref, err, said)
	}
	return c
}

// noReaper keeps testcontainers from starting a container of its own, whose
// image isn't to be had everywhere.
func noReaper(t *testing.T) {
	t.Helper()
	t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
}

func load(t *testing.T, ref string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	allowed(t, "cache folder", err)
	s, err := store.Open(filepath.Join(cache, "druppie-up", "store"))
	allowed(t, "open the store", err)
	img, err := s.Image(ref)
	allowed(t, "find "+ref+" in the store", err)
	short := filepath.Base(strings.SplitN(ref, ":", 2)[0])
	tag, err := name.NewTag("druppie.io/test/" + short + ":" + strings.ToLower(filepath.Base(t.Name())))
	allowed(t, "name", err)
	_, err = daemon.Write(tag, img, daemon.WithContext(t.Context()))
	allowed(t, "load "+ref, err)
	t.Cleanup(func() {
		p, err := testcontainers.NewDockerProvider()
		allowed(t, "engine", err)
		defer p.Close()
		if c := p.Client(); c != nil {
			_, _ = c.ImageRemove(context.WithoutCancel(t.Context()), tag.String(), dockerimage.RemoveOptions{PruneChildren: true})
		}
	})
	return tag.String()
}

func mounted(files map[string]string) testcontainers.CustomizeRequestOption {
	var list []testcontainers.ContainerFile
	for _, path := range slices.Sorted(maps.Keys(files)) {
		list = append(list, testcontainers.ContainerFile{
			Reader: strings.NewReader(files[path]), ContainerFilePath: path, FileMode: 0o644,
		})
	}
	return testcontainers.WithFiles(list...)
}

// publish opens a port on the loopback address only.
func publish(p nat.Port) testcontainers.CustomizeRequestOption {
	return func(req *testcontainers.GenericContainerRequest) error {
		req.ExposedPorts = append(req.ExposedPorts, string(p))
		return testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			h.PortBindings = nat.PortMap{p: {{HostIP: "127.0.0.1", HostPort: "0"}}}
		})(req)
	}
}

func port(t *testing.T, c *testcontainers.DockerContainer, p nat.Port) int {
	t.Helper()
	mapped, err := c.MappedPort(t.Context(), p)
	allowed(t, "port", err)
	return mapped.Int()
}
