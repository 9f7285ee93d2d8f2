package ui

import (
	"sync"
	"time"
)

// renderer shows what is reported in one of the modes. The reporter's lock is held while it is called.
type renderer interface {
	note(text string)
	start(t *task)
	// update shows a task after a call of Detail ("detail") or Progress ("progress").
	update(t *task, event string)
	end(t *task, o outcome)
}

// outcome is how a task ended.
type outcome struct {
	event string // done, skip or fail
	text  string // the summary, the reason, or the error on one line
	err   error
}

// reporter keeps what each task reports, and has a renderer show it.
type reporter struct {
	mu sync.Mutex
	renderer
}

func (r *reporter) Note(text string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(format(text, args))
}

func (r *reporter) Start(id, title string) Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &task{r: r, track: track{id: id, title: OneLine(title), began: time.Now()}}
	r.start(t)
	return t
}

type task struct {
	r *reporter
	track

	written time.Time   // when the last line about this task was written
	last    string      // what that line said
	timer   *time.Timer // writes what came too soon after it
}

func (t *task) Detail(text string, args ...any) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if detail := format(text, args); !t.ended && detail != t.detail {
		t.detail = detail
		t.r.update(t, "detail")
	}
}

func (t *task) Progress(done, total int64) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if !t.ended {
		t.progress(time.Now(), done, total)
		t.r.update(t, "progress")
	}
}

func (t *task) finish(o outcome) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if !t.ended {
		t.ended = true
		t.r.end(t, o)
	}
}

func (t *task) Done(text string, args ...any) {
	t.finish(outcome{event: "done", text: format(text, args)})
}
func (t *task) Skip(reason string) { t.finish(outcome{event: "skip", text: OneLine(reason)}) }
func (t *task) Fail(err error)     { t.finish(outcome{event: "fail", text: firstLine(err), err: err}) }
