package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	kindcluster "sigs.k8s.io/kind/pkg/cluster"
	kindexec "sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/ui"
)

// createLimit is how long kind may take. A busy machine with two cores needs
// two minutes: if it takes longer than this, the engine hangs.
const createLimit = 12 * time.Minute

// kindCreate runs kind. kind takes no context: when ours ends, its containers
// are left for the next run, which removes them since they aren't marked as
// complete, and the goroutine ends with the process.
func (r *run) kindCreate(ctx context.Context, config []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, createLimit, fmt.Errorf("kind didn't end within %s", createLimit))
	defer cancel()
	defer exemptFromProxy(mirrorName(r.opt.Name))()
	provider := kindcluster.NewProvider(kindcluster.ProviderWithDocker(), kindcluster.ProviderWithLogger(logger{task: r.task}))
	done := make(chan error, 1)
	go func() {
		done <- provider.Create(r.opt.Name,
			kindcluster.CreateWithRawConfig(config),
			kindcluster.CreateWithKubeconfigPath(Kubeconfig(r.opt.StateDir)),
			// The nodes stay for explainNode to read their logs.
			kindcluster.CreateWithRetain(true),
		)
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-done:
		if err != nil {
			return r.explainCreate(ctx, err)
		}
		return nil
	}
}

// exemptFromProxy has kind tell the nodes not to use a proxy for a host. kind
// reads the proxies from the environment and offers no other way; the returned
// function restores the environment.
func exemptFromProxy(host string) (restore func()) {
	if os.Getenv("HTTP_PROXY")+os.Getenv("http_proxy")+os.Getenv("HTTPS_PROXY")+os.Getenv("https_proxy") == "" {
		return func() {}
	}
	upper, lower := os.Getenv("NO_PROXY"), os.Getenv("no_proxy")
	os.Setenv("NO_PROXY", strings.Trim(upper+","+host, ","))
	os.Setenv("no_proxy", strings.Trim(lower+","+host, ","))
	return func() {
		os.Setenv("NO_PROXY", upper)
		os.Setenv("no_proxy", lower)
	}
}

// exportKubeconfig writes the cluster's own kubeconfig; the user's is never read.
func (r *run) exportKubeconfig(started bool) error {
	path := Kubeconfig(r.opt.StateDir)
	if _, err := os.Stat(path); err == nil && !started {
		return nil
	}
	provider := kindcluster.NewProvider(kindcluster.ProviderWithDocker())
	if err := errors.Join(provider.ExportKubeConfig(r.opt.Name, path, false), os.Chmod(path, 0o600)); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// waitAPI waits until the API server calls itself ready.
func (r *run) waitAPI(ctx context.Context) (*kube.Client, error) {
	const limit = 3 * time.Minute
	client, err := kube.New(Kubeconfig(r.opt.StateDir))
	if err != nil {
		return nil, err
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, time.Second, limit, true, func(ctx context.Context) (bool, error) {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if _, last = client.Clientset.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(try); last != nil {
			r.task.Detail("waiting for the Kubernetes API to answer")
		}
		return last == nil, nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, r.explainNode(ctx, fmt.Errorf("the Kubernetes API doesn't answer after %s: %w", limit, last))
	}
	return client, nil
}

func (r *run) explainCreate(ctx context.Context, err error) error {
	msg := err.Error()
	if re := kindexec.RunErrorForError(err); re != nil {
		out := string(re.Output)
		if strings.Contains(out, "port is already allocated") || strings.Contains(out, "address already in use") {
			err := fmt.Errorf("port %d of this machine is in use", r.opt.Port)
			return ui.Usage(ui.WithHint(errors.Join(err, r.removeIncomplete(ctx)),
				fmt.Sprintf("`ss -ltnp 'sport = :%d'` says by whom; choose another with --port", r.opt.Port)))
		}
		if strings.Contains(out, "Error response from daemon") {
			out = daemonMessage(out)
		}
		if out = command.LastLines(out, 3); out != "" {
			msg += ": " + out
		}
	}
	return r.explainNode(ctx, fmt.Errorf("create cluster: %s", msg))
}

// explainNode saves the logs of the control plane and adds the last error of its
// kubelet and containerd to err.
func (r *run) explainNode(ctx context.Context, err error) error {
	cp := controlPlane(r.opt.Name)
	dir := filepath.Join(r.opt.StateDir, "logs")
	// The logs are read also when ctx has ended, but not for long.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var causes []string
	if mkErr := os.MkdirAll(dir, 0o755); mkErr == nil {
		for _, unit := range []string{"kubelet", "containerd"} {
			out, logErr := docker(ctx, "exec", cp, "journalctl", "--no-pager", "-o", "cat", "-n", "400", "-u", unit)
			if logErr != nil || strings.TrimSpace(out) == "" {
				continue
			}
			_ = os.WriteFile(filepath.Join(dir, unit+".log"), []byte(out), 0o600)
			if w := lastError(out); w != "" {
				causes = append(causes, unit+": "+w)
			}
		}
		if out, logErr := docker(ctx, "logs", "--tail", "50", cp); logErr == nil {
			_ = os.WriteFile(filepath.Join(dir, "node.log"), []byte(out), 0o600)
			if len(causes) == 0 && strings.TrimSpace(out) != "" {
				causes = append(causes, "node: "+command.LastLines(out, 1))
			}
		}
	}
	if len(causes) > 0 {
		err = fmt.Errorf("%w; %s", err, strings.Join(causes, "; "))
	}
	hint := fmt.Sprintf("run `druppie-up doctor`; the node's logs are in %s; `druppie-up up` tries again", dir)
	if old := ui.Hint(err); old != "" {
		hint = old
	}
	return ui.WithHint(err, hint)
}

// lastError is the last line of a log that is an error.
func lastError(log string) string {
	for _, l := range slices.Backward(strings.Split(strings.TrimSpace(log), "\n")) {
		if strings.HasPrefix(l, "E") && len(l) > 1 && l[1] >= '0' && l[1] <= '9' || strings.Contains(l, "level=error") || strings.Contains(l, "level=fatal") {
			const most = 400
			if len(l) > most {
				l = strings.ToValidUTF8(l[:most], "") + "…"
			}
			return l
		}
	}
	return ""
}

// logger turns kind's lines into the details of a task, but for its warnings:
// they are about what our configuration says on purpose.
type logger struct {
	log.NoopLogger
	task ui.Task
}

func (l logger) detail(s string) {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r > 0x2000 { // kind's pictures
			return -1
		}
		return r
	}, s))
	s = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(strings.TrimLeft(s, "•✓✗ ")), "..."))
	if s != "" {
		l.task.Detail("kind: %s", s)
	}
}

func (l logger) Error(message string)      { l.detail(message) }
func (l logger) Errorf(f string, a ...any) { l.detail(fmt.Sprintf(f, a...)) }

func (l logger) V(n log.Level) log.InfoLogger {
	if n > 0 {
		return log.NoopInfoLogger{}
	}
	return l
}

func (l logger) Info(message string)      { l.detail(message) }
func (l logger) Infof(f string, a ...any) { l.detail(fmt.Sprintf(f, a...)) }
func (l logger) Enabled() bool            { return true }
