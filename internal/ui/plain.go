package ui

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// plainInterval is the least time between two lines of one running task.
const plainInterval = 10 * time.Second

// plain writes one line when a step starts and one when it ends.
type plain struct{ w io.Writer }

func (p plain) line(mark, text string) { fmt.Fprintln(p.w, mark+text) }

func (p plain) note(text string) { p.line("     ", text) }

func (p plain) start(t *task) {
	t.written = t.began
	p.line("...  ", t.title)
}

// update writes what is new about the task, now or when plainInterval is over.
func (p plain) update(t *task, kind string) {
	if t.ended || t.timer != nil {
		return
	}
	if wait := plainInterval - time.Since(t.written); wait > 0 {
		t.timer = time.AfterFunc(wait, func() {
			t.r.mu.Lock()
			defer t.r.mu.Unlock()
			t.timer = nil
			p.update(t, kind)
		})
		return
	}
	text := strings.TrimSuffix(strings.TrimPrefix(t.counts()+", "+t.detail, ", "), ", ")
	if text == "" || text == t.last {
		return
	}
	now := time.Now()
	t.last, t.written = text, now
	if left, ok := t.eta(now); ok {
		text += ", " + about(left)
	}
	p.line("...  ", fmt.Sprintf("%s: %s (%s)", t.title, text, short(now.Sub(t.began))))
}

func (p plain) end(t *task, o outcome) {
	if t.timer != nil {
		t.timer.Stop()
	}
	line := t.title
	if o.text != "" {
		line += ": " + o.text
	}
	mark := map[string]string{"done": "ok   ", "skip": "--   ", "fail": "FAIL "}[o.event]
	p.line(mark, fmt.Sprintf("%s (%s)", line, short(time.Since(t.began))))
}

func errText(err error) string {
	if err == nil {
		return "failed"
	}
	return err.Error()
}

// firstLine of an error is shown in the line of its step; all of it comes when the command ends.
func firstLine(err error) string {
	first, _, more := strings.Cut(errText(err), "\n")
	if more {
		first = strings.TrimSuffix(first, ":")
	}
	return OneLine(first)
}
