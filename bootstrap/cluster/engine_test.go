package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubefake "k8s.io/client-go/kubernetes/fake"

	"github.com/druppie/druppie-up/internal/ui"
)

// fakeDocker puts a script in the engine's command's place.
func fakeDocker(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestEngineErrors(t *testing.T) {
	tests := []struct {
		name, script string
		want, hint   string
		absent       bool
	}{
		{name: "down", script: "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1", want: "Cannot connect", hint: "druppie-up doctor"},
		{name: "not allowed", script: "echo 'permission denied while trying to connect to the docker API' >&2; exit 1", want: "permission denied", hint: "druppie-up doctor"},
		{name: "absent", script: "echo 'Error: No such object: x' >&2; exit 1", want: "No such object", absent: true},
		{name: "no file", script: "echo 'Error response from daemon: Could not find the file /kind/x in container y' >&2; exit 1", want: "docker cp: Could not find", absent: true},
		{name: "silent", script: "exit 3", want: "exit status 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fakeDocker(t, tt.script)
			_, err := docker(context.Background(), "cp", "x")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if !strings.Contains(ui.Hint(err), tt.hint) {
				t.Errorf("hint %q, want %q", ui.Hint(err), tt.hint)
			}
			if isAbsent(err) != tt.absent {
				t.Errorf("absent %v", isAbsent(err))
			}
		})
	}
}

func TestEngineThatHangs(t *testing.T) {
	fakeDocker(t, "sleep 60")
	start := time.Now()
	_, err := dockerWithin(context.Background(), 100*time.Millisecond, nil, "ps")
	if err == nil || !strings.Contains(err.Error(), "no answer within 100ms") || ui.Hint(err) == "" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stopped")
	cancel(stop)
	if _, err := docker(ctx, "ps"); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	if time.Since(start) > 20*time.Second {
		t.Error("waited for an engine that hangs")
	}
}

func TestEngineMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Inspect(context.Background(), "c")
	if err == nil || !strings.Contains(err.Error(), "docker is not installed") || !strings.Contains(ui.Hint(err), "doctor --fix") {
		t.Errorf("error %v, hint %q", err, ui.Hint(err))
	}
}

func TestDeleteOfNothing(t *testing.T) {
	fakeDocker(t, `case "$1" in inspect|cp) echo "Error: No such object" >&2; exit 1;; esac`)
	dir := filepath.Join(t.TempDir(), "c")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	left, err := Delete(context.Background(), "c", dir, ui.Discard().Start("", ""))
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, error %v", left, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("the state folder stayed")
	}
}

func TestDeleteSparesWhatIsNotOurs(t *testing.T) {
	// Any removal would leave a trace.
	trace := filepath.Join(t.TempDir(), "trace")
	fakeDocker(t, `case "$1" in
ps) echo abc;;
inspect) case "$*" in *abc*) echo '[{"Name": "/c-control-plane", "Config": {"Labels": {}}, "Mounts": []}]';; *) echo "[]"; echo "Error: No such container: c-mirror" >&2; exit 1;; esac;;
*) echo "$@" >> `+trace+`;;
esac`)
	_, err := Delete(context.Background(), "c", "", ui.Discard().Start("", ""))
	if ui.ExitCode(err) != 2 {
		t.Errorf("error %v", err)
	}
	if data, err := os.ReadFile(trace); err == nil {
		t.Errorf("did: %s", data)
	}
}

// TestDeleteNameless has another cluster that took the name of our node image
// for its own.
func TestDeleteNameless(t *testing.T) {
	tests := []struct {
		name, names string
		want        bool
	}{
		{name: "lost its name", names: "0", want: true},
		{name: "still has one", names: "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			trace := filepath.Join(t.TempDir(), "trace")
			dir := filepath.Join(t.TempDir(), "c")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := recordImage(dir, "docker.io/kindest/node:v1"); err != nil {
				t.Fatal(err)
			}
			fakeDocker(t, `echo "$@" >> `+trace+`
case "$1" in
ps) echo abc;;
inspect) echo '[{"Name": "/c-control-plane", "Image": "sha256:old", "Config": {"Image": "docker.io/kindest/node:v1", "Labels": {}},
	"Mounts": [{"Source": "`+dir+`/nodes/control-plane", "Destination": "`+nodeDir+`"}]},
	{"Name": "/c-worker", "Image": "sha256:other", "Config": {"Image": "docker.io/not/ours:1", "Labels": {}},
	"Mounts": [{"Source": "`+dir+`/nodes/worker", "Destination": "`+nodeDir+`"}]}]'
	echo "Error: No such container: c-mirror" >&2; exit 1;;
image) echo `+tt.names+`;;
esac`)
			_, _ = Delete(context.Background(), "c", dir, ui.Discard().Start("", "")) // the engine of this test forgets nothing
			data, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(data), "rmi sha256:old"); got != tt.want || strings.Contains(string(data), "sha256:other") {
				t.Errorf("did:\n%s", data)
			}
		})
	}
}

func TestAdvertiseGPU(t *testing.T) {
	gpu := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu", Labels: map[string]string{GPULabel: GPULabelValue}}}
	plain := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "plain"}}
	set, ctx := kubefake.NewClientset(gpu, plain), context.Background()
	changed, err := AdvertiseGPU(ctx, set)
	if err != nil || len(changed) != 1 || changed[0] != "gpu" {
		t.Fatalf("changed %v, error %v", changed, err)
	}
	n, err := set.CoreV1().Nodes().Get(ctx, "gpu", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if q := n.Status.Allocatable[GPUResource]; q.Cmp(resource.MustParse("1")) != 0 || n.Annotations[SimulatedAnnotation] != "true" {
		t.Errorf("allocatable %v, annotations %v", n.Status.Allocatable, n.Annotations)
	}
	if n, _ := set.CoreV1().Nodes().Get(ctx, "plain", metav1.GetOptions{}); len(n.Status.Allocatable) > 0 {
		t.Errorf("a plain node has %v", n.Status.Allocatable)
	}
	if changed, err := AdvertiseGPU(ctx, set); err != nil || len(changed) > 0 {
		t.Errorf("again: changed %v, error %v", changed, err)
	}
	// What a kubelet that starts does to it.
	n.Status.Allocatable[GPUResource] = resource.MustParse("0")
	if _, err := set.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if changed, err := AdvertiseGPU(ctx, set); err != nil || len(changed) != 1 {
		t.Errorf("after a restart: changed %v, error %v", changed, err)
	}
}
