package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// quiet is the least time between two lines of one running task.
const quiet = 10 * time.Second

// plain writes one line when a step starts and one when it ends.
type plain struct {
	mu sync.Mutex
	w  io.Writer
}

func newPlain(w io.Writer) *plain { return &plain{w: w} }

func (p *plain) Note(text string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("     ", format(text, args))
}

func (p *plain) Start(id, title string) Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	t := &plainTask{p: p, track: track{id: id, title: OneLine(title), began: now}, spoke: now}
	p.line("...  ", t.title)
	return t
}

func (p *plain) line(mark, text string) { fmt.Fprintln(p.w, mark+text) }

type plainTask struct {
	p *plain
	track
	spoke time.Time   // when the last line about this task was written
	last  string      // what that line said
	timer *time.Timer // writes what was held back
}

func (t *plainTask) Detail(text string, args ...any) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.detail = format(text, args)
	t.speak()
}

func (t *plainTask) Progress(done, total int64) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.progress(time.Now(), done, total)
	t.speak()
}

// speak writes what is new about the task now, or when the task may speak again.
func (t *plainTask) speak() {
	if t.ended || t.timer != nil {
		return
	}
	if wait := quiet - time.Since(t.spoke); wait > 0 {
		t.timer = time.AfterFunc(wait, func() {
			t.p.mu.Lock()
			defer t.p.mu.Unlock()
			t.timer = nil
			t.speak()
		})
		return
	}
	now := time.Now()
	var parts []string
	for _, s := range []string{t.counts(), t.detail} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	news := strings.Join(parts, ", ")
	if news == "" || news == t.last {
		return
	}
	t.last, t.spoke = news, now
	if left, ok := t.eta(now); ok {
		news += ", " + about(left)
	}
	t.p.line("...  ", fmt.Sprintf("%s: %s (%s)", t.title, news, short(now.Sub(t.began))))
}

func (t *plainTask) end(mark, text string) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	if t.timer != nil {
		t.timer.Stop()
	}
	line := t.title
	if text != "" {
		line += ": " + text
	}
	t.p.line(mark, fmt.Sprintf("%s (%s)", line, short(time.Since(t.began))))
}

func (t *plainTask) Done(text string, args ...any) { t.end("ok   ", format(text, args)) }
func (t *plainTask) Skip(reason string)            { t.end("--   ", OneLine(reason)) }
func (t *plainTask) Fail(err error)                { t.end("FAIL ", gist(err)) }

func errText(err error) string {
	if err == nil {
		return "failed"
	}
	return err.Error()
}

// gist is the first line of an error, for the one line of its step; all of it comes when the command ends.
func gist(err error) string {
	first, _, more := strings.Cut(errText(err), "\n")
	if more {
		first = strings.TrimSuffix(first, ":")
	}
	return OneLine(first)
}
