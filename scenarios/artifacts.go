package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/scenarios/platform"
	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/redact"
)

const (
	// artifactsTimeout is how long gathering artifacts may take: the script's end waits for it.
	artifactsTimeout = 2 * time.Minute
	// maxLog is the most bytes that are taken of a container's log, from its end.
	maxLog = 1 << 20
)

// private are the resources that artifacts leave out: what they hold isn't for people who look for a fault. Config
// maps hold what is configured, which is in Git.
var private = []string{"secrets", "configmaps"}

// artifacts is a folder with what there was to see when a script failed. What looks like a secret is blotted out.
type artifacts struct{ dir string }

func (e *engine) newArtifacts(name string) artifacts {
	return artifacts{filepath.Join(e.opt.Artifacts, name+"-"+e.opt.Place.Tenant+"-"+time.Now().UTC().Format("20060102T150405Z"))}
}

// gather writes all objects but the private ones, the logs of all containers since the script began, and the trace's
// records of that time. The error says what is missing.
func (a artifacts) gather(e *engine) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), artifactsTimeout)
	defer cancel()
	var err error
	if e.opt.Trace != nil {
		err = a.trace(ctx, e)
	}
	p, connected := e.platform()
	if connected != nil {
		return errors.Join(err, connected)
	}
	return errors.Join(err, a.objects(ctx, p), a.logs(ctx, p, e.begun))
}

func (a artifacts) write(name string, data []byte) error {
	file := filepath.Join(a.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	clean, _ := redact.Text(string(data))
	return os.WriteFile(file, []byte(clean), 0o600)
}

// objects writes a file for each resource that can be listed.
func (a artifacts) objects(ctx context.Context, p *platform.Platform) error {
	// A group whose API doesn't answer is an error; the lists of the others came with it.
	lists, err := p.Kube.Discovery().ServerPreferredResources()
	for _, list := range lists {
		gv, bad := schema.ParseGroupVersion(list.GroupVersion)
		if bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || slices.Contains(private, r.Name) {
				continue
			}
			err = errors.Join(err, a.resource(ctx, p, gv.WithResource(r.Name)))
		}
	}
	return err
}

func (a artifacts) resource(ctx context.Context, p *platform.Platform, gvr schema.GroupVersionResource) error {
	list, err := p.Dynamic.Resource(gvr).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", gvr.GroupResource(), err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	for i := range list.Items {
		list.Items[i].SetManagedFields(nil)
	}
	data, err := yaml.Marshal(list)
	if err != nil {
		return err
	}
	return a.write("objects/"+gvr.GroupResource().String()+".yaml", data)
}

// logs writes what every container has said since a time, and what one that was restarted said before.
func (a artifacts) logs(ctx context.Context, p *platform.Platform, since time.Time) error {
	pods, err := p.Kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	var errs []error
	for _, pod := range pods.Items {
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
			if done := c.State.Terminated; c.State.Waiting != nil || done != nil && done.FinishedAt.Time.Before(since) {
				continue
			}
			errs = append(errs, a.log(ctx, p, pod, c.Name, since, false))
			if last := c.LastTerminationState.Terminated; last != nil && last.FinishedAt.Time.After(since) {
				errs = append(errs, a.log(ctx, p, pod, c.Name, since, true))
			}
		}
	}
	return errors.Join(errs...)
}

func (a artifacts) log(ctx context.Context, p *platform.Platform, pod corev1.Pod, container string, since time.Time, previous bool) error {
	name := container
	if previous {
		name += ".previous"
	}
	stream, err := p.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, Timestamps: true, SinceTime: ptr.To(metav1.NewTime(since)), LimitBytes: ptr.To[int64](maxLog),
	}).Stream(ctx)
	if apierrors.IsNotFound(err) {
		return nil // it has gone meanwhile
	}
	if err != nil {
		return fmt.Errorf("log of %s in %s/%s: %w", name, pod.Namespace, pod.Name, err)
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, maxLog))
	if err == nil && len(text) > 0 {
		err = a.write(strings.Join([]string{"logs", pod.Namespace, pod.Name, name + ".log"}, "/"), text)
	}
	return err
}

// trace writes the newest records since the script began.
func (a artifacts) trace(ctx context.Context, e *engine) error {
	t, err := e.opt.Trace(ctx)
	if err != nil {
		return err
	}
	page, err := t.Search(ctx, tracedb.Query{From: e.begun.Add(-time.Second), Limit: tracedb.MaxPage})
	if err != nil {
		return fmt.Errorf("search the trace: %w", err)
	}
	data, err := json.MarshalIndent(page, "", "  ")
	if err != nil {
		return err
	}
	return a.write("trace.json", data)
}
