package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/ui"
)

// answerTimeout is how long the engine may take for an ordinary answer.
const answerTimeout = 60 * time.Second

// engineError is what the engine's command line says went wrong.
type engineError struct{ failed *command.Error }

func (e *engineError) Error() string {
	msg := daemonMessage(e.failed.Stderr)
	if msg == "" {
		msg = e.failed.Err.Error()
	}
	return "docker " + e.failed.Args[0] + ": " + msg
}

func (e *engineError) Unwrap() error { return e.failed }

// daemonMessage finds what the engine says went wrong among what its command
// line prints around it.
func daemonMessage(output string) string {
	const daemon = "Error response from daemon: "
	message := ""
	for _, l := range strings.Split(output, "\n") {
		l = strings.TrimSpace(l)
		if _, after, ok := strings.Cut(l, daemon); ok {
			return after
		}
		if l != "" && !strings.HasPrefix(l, "Run 'docker") && !strings.HasPrefix(l, "See 'docker") {
			message = l
		}
	}
	return message
}

// docker asks the engine through its command line, as kind does, so that both
// always mean the same engine, whatever context or host the user has chosen.
func docker(ctx context.Context, args ...string) (string, error) {
	return dockerWithin(ctx, answerTimeout, nil, args...)
}

func dockerWithin(ctx context.Context, limit time.Duration, stdin io.Reader, args ...string) (string, error) {
	tctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := command.Command{Name: "docker", Args: args, Stdin: stdin}.Output(tctx)
	var failed *command.Error
	switch {
	case err == nil:
		return string(out), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case tctx.Err() != nil:
		return "", ui.WithHint(fmt.Errorf("docker %s: no answer within %s", args[0], limit),
			"the container engine hangs: `druppie-up doctor` looks at it, restarting it often helps")
	case errors.Is(err, exec.ErrNotFound):
		return "", ui.WithHint(errors.New("docker is not installed"), "run `druppie-up doctor --fix`")
	case !errors.As(err, &failed):
		return "", err
	}
	err = &engineError{failed}
	if strings.Contains(failed.Stderr, "Cannot connect to the Docker daemon") || strings.Contains(failed.Stderr, "permission denied while trying to connect") {
		return "", ui.WithHint(err, "run `druppie-up doctor`: it says why the engine isn't reachable, and `--fix` starts it")
	}
	return string(out), err
}

func removeContainers(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	_, err := dockerWithin(ctx, 3*time.Minute, nil, append([]string{"rm", "-f", "-v"}, names...)...)
	return err
}

// container is what `docker inspect` says, as far as it matters here.
type container struct {
	Name   string
	Image  string // id
	State  struct{ Running bool }
	Config struct {
		Image  string
		User   string
		Labels map[string]string
	}
	HostConfig struct {
		PortBindings map[string][]struct{ HostIp, HostPort string }
	}
	Mounts []struct{ Source, Destination string }
}

// mount returns the folder of this machine that a container sees at a place.
func (c container) mount(destination string) string {
	for _, m := range c.Mounts {
		if m.Destination == destination {
			return m.Source
		}
	}
	return ""
}

// inspectContainers leaves out containers that aren't there.
func inspectContainers(ctx context.Context, containers ...string) ([]container, error) {
	out, err := docker(ctx, append([]string{"inspect", "--type=container"}, containers...)...)
	if err != nil && !isAbsent(err) {
		return nil, err
	}
	var list []container
	if strings.TrimSpace(out) != "" {
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return nil, fmt.Errorf("docker inspect: %w", err)
		}
	}
	for i := range list {
		list[i].Name = strings.TrimPrefix(list[i].Name, "/")
	}
	return list, nil
}

// isAbsent says whether the engine answered that there is no such thing.
func isAbsent(err error) bool {
	var ee *engineError
	return errors.As(err, &ee) && slices.ContainsFunc([]string{"No such", "not found", "Could not find the file"}, func(s string) bool {
		return strings.Contains(ee.failed.Stderr, s)
	})
}

// loadImage loads an image of the store into the engine, unless it is there, and
// returns its id: its configuration's digest, or, where the engine keeps images
// in containerd, its manifest's.
func (r *run) loadImage(ctx context.Context, ref string) (string, error) {
	img, err := r.opt.Store.Image(ref)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", ref, err)
	}
	config, err := img.ConfigName()
	if err != nil {
		return "", fmt.Errorf("image %s: %w", ref, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", fmt.Errorf("image %s: %w", ref, err)
	}
	id, err := imageID(ctx, ref)
	if err != nil || id == config.String() || id == digest.String() {
		return id, err
	}
	r.task.Detail("loading image %s into the engine", ref)
	known, err := loadedImages(r.opt.StateDir)
	if err != nil {
		return "", err
	}
	if id != "" && slices.Contains(known, ref) {
		r.replaced = append(r.replaced, id)
	}
	if err := recordImage(r.opt.StateDir, ref); err != nil {
		return "", err
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", ref, err)
	}
	pr, pw := io.Pipe()
	go func() { pw.CloseWithError(tarball.Write(tag, img, pw)) }()
	_, err = dockerWithin(ctx, 10*time.Minute, pr, "load", "--quiet")
	pr.CloseWithError(errors.New("the engine stopped reading"))
	if err != nil {
		if strings.Contains(err.Error(), "no space left") {
			err = ui.WithHint(err, "free disk space where the engine keeps its images (`docker info` names the folder)")
		}
		return "", fmt.Errorf("load image %s: %w", ref, err)
	}
	return imageID(ctx, ref)
}

// imageID is empty for an image that the engine doesn't have.
func imageID(ctx context.Context, ref string) (string, error) {
	out, err := docker(ctx, "image", "inspect", "--format", "{{.Id}}", ref)
	if isAbsent(err) {
		return "", nil
	}
	return strings.TrimSpace(out), err
}
