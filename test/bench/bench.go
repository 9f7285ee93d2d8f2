package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/druppie/druppie-up/internal/command"
)

type bench struct {
	druppie  string
	name     string
	progress io.Writer
}

// row is one line of the table; goal and floor may be empty.
type row struct{ what, took, goal, floor string }

// span is how long one step of a command took.
type span struct {
	id   string
	took time.Duration
}

func (b bench) run(ctx context.Context, out io.Writer) (err error) {
	if _, err := b.command(ctx, "supply", "verify"); err != nil {
		return fmt.Errorf("the store must be complete: %w", err)
	}
	defer func() {
		// Also after an interrupt, when ctx is over: what was made here goes.
		_, _, downErr := b.timed(context.WithoutCancel(ctx), "down")
		err = errors.Join(err, downErr)
	}()
	// The first pair makes what the second takes away: the engine has the node image by then, as on any
	// machine that ran up before.
	for _, args := range [][]string{{"down"}, {"up"}} {
		if _, _, err := b.timed(ctx, args...); err != nil {
			return err
		}
	}
	var rows []row
	down, _, err := b.timed(ctx, "down")
	if err != nil {
		return err
	}
	up, steps, err := b.timed(ctx, "up")
	if err != nil {
		return err
	}
	rows = append(rows, row{"down, then up to everything ready", seconds(down + up), "240 s", "kind's part " + seconds(of(steps, "cluster"))})
	for _, s := range steps {
		rows = append(rows, row{"- " + s.id, seconds(s.took), "", ""})
	}
	again, _, err := b.timed(ctx, "up")
	if err != nil {
		return err
	}
	rows = append(rows, row{"up on a running platform", seconds(again), "10 s", ""})

	flight, err := b.flight(ctx)
	if err != nil {
		return err
	}
	rows = append(rows, flight...)
	memory, err := b.memory(ctx)
	if err != nil {
		return err
	}
	rows = append(rows, row{"memory of all of it", fmt.Sprintf("%.1f GiB", memory), "4 GiB", ""})
	return write(out, rows)
}

// flight runs the scenario, and reads from Tekton how long the pipeline's own steps ran.
func (b bench) flight(ctx context.Context) ([]row, error) {
	began := time.Now()
	raw, err := b.command(ctx, "scenario", "run", "first-flight", "--name", b.name, "-o", "json")
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	mergeToPod, err := phases(raw, "pipeline", "delivery to the pod")
	if err != nil {
		return nil, err
	}
	floor, err := b.stepTimes(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		{"merge to running pod", seconds(mergeToPod), "90 s", "steps' own run times " + seconds(floor)},
		{"first flight, all of it", seconds(took), "", ""},
	}, nil
}

// stepTimes sums up the run times of the last pipeline run's steps, from inside the cluster.
func (b bench) stepTimes(ctx context.Context) (time.Duration, error) {
	raw, err := command.Output(ctx, "docker", "exec", b.name+"-control-plane", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf",
		"-n", "foundry", "get", "taskruns", "--sort-by=.metadata.creationTimestamp", "-o", "json")
	if err != nil {
		return 0, err
	}
	return sumSteps(raw)
}

func sumSteps(raw []byte) (time.Duration, error) {
	var list struct {
		Items []struct {
			Metadata struct{ Labels map[string]string }
			Status   struct {
				Steps []struct {
					Terminated struct{ StartedAt, FinishedAt time.Time }
				}
			}
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return 0, fmt.Errorf("read task runs: %w", err)
	}
	if len(list.Items) == 0 {
		return 0, errors.New("there are no task runs")
	}
	const label = "tekton.dev/pipelineRun"
	last := list.Items[len(list.Items)-1].Metadata.Labels[label]
	var sum time.Duration
	for _, item := range list.Items {
		if item.Metadata.Labels[label] != last {
			continue
		}
		for _, s := range item.Status.Steps {
			sum += s.Terminated.FinishedAt.Sub(s.Terminated.StartedAt)
		}
	}
	return sum, nil
}

// memory is what the engine says that the cluster's containers use, page cache left out, in GiB.
func (b bench) memory(ctx context.Context) (float64, error) {
	raw, err := command.Output(ctx, "docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}")
	if err != nil {
		return 0, err
	}
	var sum float64
	for line := range strings.Lines(string(raw)) {
		container, usage, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(container, b.name+"-") {
			continue
		}
		used, _, _ := strings.Cut(usage, " ")
		gib, err := parseGiB(used)
		if err != nil {
			return 0, err
		}
		sum += gib
	}
	if sum == 0 {
		return 0, errors.New("the engine knows no container of the cluster")
	}
	return sum, nil
}

// parseGiB reads an amount as Docker prints it, such as 1.5GiB; Kubernetes writes it without the B.
func parseGiB(s string) (float64, error) {
	amount, ok := strings.CutSuffix(s, "B")
	quantity, err := resource.ParseQuantity(amount)
	if err != nil || !ok {
		return 0, fmt.Errorf("memory %q isn't a number of bytes with its unit", s)
	}
	return quantity.AsApproximateFloat64() / (1 << 30), nil
}

// timed runs druppie-up for our cluster, and times it and its steps by their events.
func (b bench) timed(ctx context.Context, args ...string) (time.Duration, []span, error) {
	args = append(args, "--name", b.name, "--progress", "json")
	fmt.Fprintln(b.progress, "bench: druppie-up", strings.Join(args, " "))
	began := time.Now()
	var events bytes.Buffer
	_, err := command.Command{Name: b.druppie, Args: args, Stderr: &events}.Output(ctx)
	if err != nil {
		return 0, nil, err
	}
	return time.Since(began), spans(&events), nil
}

// spans reads from a command's events which steps ended, and how long each took.
func spans(events io.Reader) (steps []span) {
	began := map[string]time.Time{}
	for lines := bufio.NewScanner(events); lines.Scan(); {
		var e struct {
			Time      time.Time
			Event, ID string
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		switch e.Event {
		case "start":
			began[e.ID] = e.Time
		case "done":
			if from, ok := began[e.ID]; ok {
				steps = append(steps, span{e.ID, e.Time.Sub(from)})
			}
		}
	}
	return steps
}

func of(steps []span, id string) time.Duration {
	for _, s := range steps {
		if s.id == id {
			return s.took
		}
	}
	return 0
}

func (b bench) command(ctx context.Context, args ...string) ([]byte, error) {
	fmt.Fprintln(b.progress, "bench: druppie-up", strings.Join(args, " "))
	return command.Output(ctx, b.druppie, args...)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

func write(out io.Writer, rows []row) error {
	var b strings.Builder
	b.WriteString("| what | took | goal | floor |\n|---|---:|---:|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, r.took, r.goal, r.floor)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
