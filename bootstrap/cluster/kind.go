package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"
	kindexec "sigs.k8s.io/kind/pkg/exec"
	"sigs.k8s.io/kind/pkg/log"

	"github.com/druppie/druppie-up/bootstrap/kube"
	"github.com/druppie/druppie-up/internal/command"
	"github.com/druppie/druppie-up/internal/ui"
)

// createLimit is how long kind may take; a busy machine with two cores needs
// two minutes, so that this is an engine that hangs.
const createLimit = 12 * time.Minute

// kindCreate runs kind. kind takes no context: when ours ends, its containers
// are left for the next run, which sees by the missing mark that they are half
// made, and the goroutine ends with the process.
func (r *run) kindCreate(ctx context.Context, config []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, createLimit, fmt.Errorf("kind didn't end within %s", createLimit))
	defer cancel()
	defer noProxyFor(mirrorName(r.opt.Name))()
	provider := kindcluster.NewProvider(kindcluster.ProviderWithDocker(), kindcluster.ProviderWithLogger(&logger{task: r.task}))
	done := make(chan error, 1)
	go func() {
		done <- provider.Create(r.opt.Name,
			kindcluster.CreateWithRawConfig(config),
			kindcluster.CreateWithKubeconfigPath(Kubeconfig(r.opt.StateDir)),
			// Kept, so that it can be said what went wrong.
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

// noProxyFor has kind tell the nodes not to look for a host behind a proxy.
// kind reads proxies from the environment and there is no other way in; what
// it sets is taken back by the returned function.
func noProxyFor(host string) func() {
	proxied := false
	for _, k := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		proxied = proxied || os.Getenv(k) != ""
	}
	if !proxied {
		return func() {}
	}
	var undo []func()
	for _, k := range []string{"NO_PROXY", "no_proxy"} {
		old, had := os.LookupEnv(k)
		os.Setenv(k, strings.Trim(old+","+host, ","))
		undo = append(undo, func() {
			if had {
				os.Setenv(k, old)
			} else {
				os.Unsetenv(k)
			}
		})
	}
	return func() {
		for _, u := range undo {
			u()
		}
	}
}

// exportKubeconfig writes the cluster's own kubeconfig; the user's is never read.
func (r *run) exportKubeconfig(moved bool) error {
	path := Kubeconfig(r.opt.StateDir)
	if _, err := os.Stat(path); err == nil && !moved {
		return nil
	}
	provider := kindcluster.NewProvider(kindcluster.ProviderWithDocker())
	if err := provider.ExportKubeConfig(r.opt.Name, path, false); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// waitAPI waits until the API server calls itself ready.
func (r *run) waitAPI(ctx context.Context) error {
	const limit = 3 * time.Minute
	client, err := kube.New(Kubeconfig(r.opt.StateDir))
	if err != nil {
		return err
	}
	var last error
	for start := time.Now(); time.Since(start) < limit; {
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		_, last = client.Clientset.CoreV1().RESTClient().Get().AbsPath("/readyz").DoRaw(ask)
		cancel()
		if last == nil {
			return nil
		}
		r.task.Detail("waiting for the Kubernetes API to answer")
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	return r.explainNode(ctx, fmt.Errorf("the Kubernetes API doesn't answer after %s: %w", limit, last))
}

func (r *run) explainCreate(ctx context.Context, err error) error {
	msg := err.Error()
	if re := kindexec.RunErrorForError(err); re != nil {
		out := string(re.Output)
		if strings.Contains(out, "port is already allocated") || strings.Contains(out, "address already in use") {
			err := fmt.Errorf("port %d of this machine is in use", r.opt.Port)
			return ui.Usage(ui.WithHint(errors.Join(err, r.removeHalf(ctx)),
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

func (r *run) explainStart(ctx context.Context, err error, node string) error {
	return r.explainNode(ctx, fmt.Errorf("start node %s: %w", node, err))
}

// explainNode keeps the nodes' logs and adds the last word of kubelet and
// containerd to an error.
func (r *run) explainNode(ctx context.Context, err error) error {
	cp := controlPlane(r.opt.Name)
	dir := filepath.Join(r.opt.StateDir, "logs")
	// Asked for even when the user gave up, but not for long.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var words []string
	if mkErr := os.MkdirAll(dir, 0o755); mkErr == nil {
		for _, unit := range []string{"kubelet", "containerd"} {
			out, logErr := r.engine.docker(ctx, "exec", cp, "journalctl", "--no-pager", "-o", "cat", "-n", "400", "-u", unit)
			if logErr != nil || strings.TrimSpace(out) == "" {
				continue
			}
			_ = os.WriteFile(filepath.Join(dir, unit+".log"), []byte(out), 0o600)
			if w := lastError(out); w != "" {
				words = append(words, unit+": "+w)
			}
		}
		if out, logErr := r.engine.docker(ctx, "logs", "--tail", "50", cp); logErr == nil {
			_ = os.WriteFile(filepath.Join(dir, "node.log"), []byte(out), 0o600)
			if len(words) == 0 && strings.TrimSpace(out) != "" {
				words = append(words, "node: "+command.LastLines(out, 1))
			}
		}
	}
	if len(words) > 0 {
		err = fmt.Errorf("%w; %s", err, strings.Join(words, "; "))
	}
	hint := fmt.Sprintf("run `druppie-up doctor`; the node's logs are in %s; `druppie-up up` tries again", dir)
	if old := ui.Hint(err); old != "" {
		hint = old
	}
	return ui.WithHint(err, hint)
}

// lastError finds the last line of a log that tells of an error.
func lastError(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		l := lines[i]
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

// logger turns kind's lines into the details of a task.
type logger struct {
	task ui.Task
	mu   sync.Mutex
}

func (l *logger) detail(s string) {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r > 0x2000 { // kind's pictures
			return -1
		}
		return r
	}, s))
	s = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(strings.TrimLeft(s, "•✓✗ ")), "..."))
	if s == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task.Detail("kind: %s", s)
}

func (l *logger) Warn(string)                  { /* about things the configuration settles */ }
func (l *logger) Warnf(string, ...any)         {}
func (l *logger) Error(message string)         { l.detail(message) }
func (l *logger) Errorf(f string, a ...any)    { l.detail(fmt.Sprintf(f, a...)) }
func (l *logger) V(n log.Level) log.InfoLogger { return infoLogger{l, n == 0} }

type infoLogger struct {
	l  *logger
	on bool
}

func (i infoLogger) Info(message string) {
	if i.on {
		i.l.detail(message)
	}
}

func (i infoLogger) Infof(f string, a ...any) {
	if i.on {
		i.l.detail(fmt.Sprintf(f, a...))
	}
}

func (i infoLogger) Enabled() bool { return i.on }
