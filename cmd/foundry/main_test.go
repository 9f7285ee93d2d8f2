package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/druppie/druppie-up/cmd/foundry/internal/foundrytest"
	"github.com/druppie/druppie-up/internal/ui"
)

func run(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := newCommand(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func write(t *testing.T, dir, file, text string) string {
	t.Helper()
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadInput(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing given", []string{"clone"}, "clone needs --ca-file, --forge"},
		{"an empty variable", []string{"verify", "--ca-file=x", "--key=y", "--image="}, "verify needs --image"},
		{"unknown flag", []string{"push", "--insecure"}, "unknown flag"},
		{"an argument too many", []string{"push", "x"}, "unexpected argument"},
		{"an image by tag", []string{"verify", "--ca-file=x", "--key=y", "--image=registry.example/a/b:1"}, "isn't named by digest"},
		{"a branch", []string{"clone", "--ca-file=x", "--forge=https://x", "--repository=a/b", "--revision=main", "--dir=d"}, "full commit hash"},
		{"plain http", []string{"clone", "--ca-file=x", "--forge=http://x", "--repository=a/b", "--revision=main", "--dir=d"}, "plain http"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := run(tt.args...)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if code := ui.ExitCode(err); code != 2 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestPushWritesResults runs the verb as its task does.
func TestPushWritesResults(t *testing.T) {
	host, ca := foundrytest.Registry(t)
	dir := t.TempDir()
	caFile := write(t, dir, "ca.crt", string(ca))
	write(t, dir, "credentials/username", foundrytest.Writer.Username)
	write(t, dir, "credentials/password", foundrytest.Writer.Password)
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("x/y:z")
	if err != nil {
		t.Fatal(err)
	}
	tar := filepath.Join(dir, "image.tar")
	if err := tarball.WriteToFile(tar, tag, img); err != nil {
		t.Fatal(err)
	}
	args := []string{"push", "--tar", tar, "--repository", host + "/druppie/drone-service",
		"--credentials", filepath.Join(dir, "credentials"),
		"--digest-result", filepath.Join(dir, "digest"), "--image-result", filepath.Join(dir, "image")}
	if _, err := run(append(args, "--ca-file", caFile)...); err != nil {
		t.Fatal(err)
	}
	digest, err := os.ReadFile(filepath.Join(dir, "digest"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(filepath.Join(dir, "image"))
	if err != nil {
		t.Fatal(err)
	}
	if want := host + "/druppie/drone-service@" + string(digest); string(image) != want {
		t.Errorf("image result %q, want %q", image, want)
	}
	_, err = run(append(args, "--ca-file", write(t, dir, "foreign.crt", string(foundrytest.ForeignCA(t))))...)
	if err == nil || !strings.Contains(ui.Hint(err), "platform-ca") {
		t.Errorf("a foreign CA: %v, hint %q", err, ui.Hint(err))
	}
}

func TestNothingToApprove(t *testing.T) {
	dir := t.TempDir()
	out, err := run("approve", "--pull-request=0", "--merged-result="+filepath.Join(dir, "merged"),
		"--ca-file=x", "--credentials=x", "--forge=https://x", "--repository=a/b", "--tenant=t",
		"--revision=r", "--run=n", "--image-repository=i", "--key=k")
	if err != nil || !strings.Contains(out, "nothing to approve") {
		t.Errorf("%q, %v", out, err)
	}
}
