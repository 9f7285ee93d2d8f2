package ui

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	frameTime = 120 * time.Millisecond
	barWidth  = 20
	// More running steps than this are only counted: the list must fit any window, or the cursor
	// can't go back to its first line.
	maxLive = 10
	// Without a window to ask, lines are cut here.
	defaultWidth = 100
)

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// terminal keeps ended steps on the screen and redraws the running ones below them.
type terminal struct {
	mu    *sync.Mutex // the reporter's
	w     io.Writer
	s     styles
	live  []*task
	drawn int // lines on the screen that belong to running tasks
	frame int
	stop  chan struct{} // ends the redrawing; nil while nothing runs
}

func windowWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
			return width
		}
	}
	return defaultWidth
}

func (r *terminal) note(text string) { r.redraw("  " + text + "\n") }

// update does nothing: the next frame shows it.
func (r *terminal) update(*task, string) {}

func (r *terminal) start(t *task) {
	r.live = append(r.live, t)
	if r.stop == nil {
		r.stop = make(chan struct{})
		go r.spin(r.stop)
	}
	r.redraw("")
}

// spin redraws until the last running task ended; the goroutine lives no longer than the work.
func (r *terminal) spin(stop <-chan struct{}) {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			r.mu.Lock()
			if r.stop == stop {
				r.frame++
				r.redraw("")
			}
			r.mu.Unlock()
		}
	}
}

// redraw replaces the running lines by the given lines, which stay, and the running lines as they are
// now, in one write so that nothing flickers.
func (r *terminal) redraw(above string) {
	var b strings.Builder
	if r.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", r.drawn)
	}
	b.WriteString(above)
	now, width := time.Now(), windowWidth(r.w)
	r.drawn = 0
	for i, t := range r.live {
		if i == maxLive {
			b.WriteString(r.s.faint.Render(fmt.Sprintf("  and %d more", len(r.live)-maxLive)) + "\n")
			r.drawn++
			break
		}
		b.WriteString(r.s.plain.Inline(true).MaxWidth(width-1).Render(r.line(t, now)) + "\n")
		r.drawn++
	}
	_, _ = io.WriteString(r.w, b.String())
}

// line is how a running task looks: spinner, title, bar, time, what it waits for.
func (r *terminal) line(t *task, now time.Time) string {
	s := r.s
	parts := []string{s.busy.Render(spinner[r.frame%len(spinner)]) + " " + t.title}
	if t.counting && t.total > 0 {
		full := int(t.share * barWidth)
		parts = append(parts, s.busy.Render(strings.Repeat("█", full))+s.faint.Render(strings.Repeat("░", barWidth-full)))
	}
	if c := t.counts(); c != "" {
		parts = append(parts, c)
	}
	clock := short(now.Sub(t.began).Truncate(time.Second))
	if now.Sub(t.began) < 10*time.Second {
		clock = fmt.Sprintf("%ds", int(now.Sub(t.began).Seconds()))
	}
	if left, ok := t.eta(now); ok {
		clock += ", " + about(left)
	}
	parts = append(parts, s.faint.Render(clock))
	if t.detail != "" {
		parts = append(parts, s.faint.Render(t.detail))
	}
	return strings.Join(parts, "  ")
}

func (r *terminal) end(t *task, o outcome) {
	r.live = slices.DeleteFunc(r.live, func(l *task) bool { return l == t })
	if len(r.live) == 0 {
		close(r.stop)
		r.stop = nil
	}
	mark, text := r.s.good.Render("✓"), r.s.faint.Render(o.text)
	switch o.event {
	case "skip":
		mark = r.s.faint.Render("–")
	case "fail":
		mark, text = r.s.bad.Render("✗"), o.text
	}
	line := mark + " " + t.title + "  " + r.s.faint.Render(short(time.Since(t.began)))
	if o.text != "" {
		line += "  " + text
	}
	r.redraw(line + "\n")
}
