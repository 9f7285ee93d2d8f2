package ui

import (
	"fmt"
	"io"
	"os"
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
	mu    sync.Mutex
	w     io.Writer
	s     styles
	width func() int
	live  []*termTask
	drawn int // lines on the screen that belong to running tasks
	frame int
	stop  chan struct{} // ends the redrawing; nil while nothing runs
}

func newTerminal(w io.Writer) *terminal {
	return &terminal{w: w, s: newStyles(w), width: func() int { return windowWidth(w) }}
}

func windowWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
			return width
		}
	}
	return defaultWidth
}

func (r *terminal) Note(text string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.redraw("  " + format(text, args) + "\n")
}

func (r *terminal) Start(id, title string) Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &termTask{r: r, track: track{id: id, title: OneLine(title), began: time.Now()}}
	r.live = append(r.live, t)
	if r.stop == nil {
		r.stop = make(chan struct{})
		go r.spin(r.stop)
	}
	r.redraw("")
	return t
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

// redraw replaces the running lines by the given lasting lines and the running lines as they are
// now, in one write so that nothing flickers.
func (r *terminal) redraw(lasting string) {
	var b strings.Builder
	if r.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", r.drawn)
	}
	b.WriteString(lasting)
	now, width := time.Now(), r.width()
	r.drawn = 0
	for i, t := range r.live {
		if i == maxLive {
			b.WriteString(r.s.faint.Render(fmt.Sprintf("  and %d more", len(r.live)-maxLive)) + "\n")
			r.drawn++
			break
		}
		b.WriteString(r.s.plain.Inline(true).MaxWidth(width-1).Render(t.line(now)) + "\n")
		r.drawn++
	}
	_, _ = io.WriteString(r.w, b.String())
}

type termTask struct {
	r *terminal
	track
}

// line is how a running task looks: spinner, title, bar, time, what it waits for.
func (t *termTask) line(now time.Time) string {
	s := t.r.s
	parts := []string{s.busy.Render(spinner[t.r.frame%len(spinner)]) + " " + t.title}
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

func (t *termTask) Detail(text string, args ...any) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.detail = format(text, args) // the next frame shows it
}

func (t *termTask) Progress(done, total int64) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	t.progress(time.Now(), done, total)
}

func (t *termTask) end(mark, text string) {
	r := t.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	for i, l := range r.live {
		if l == t {
			r.live = append(r.live[:i], r.live[i+1:]...)
			break
		}
	}
	if len(r.live) == 0 {
		close(r.stop)
		r.stop = nil
	}
	line := mark + " " + t.title + "  " + r.s.faint.Render(short(time.Since(t.began)))
	if text != "" {
		line += "  " + text
	}
	r.redraw(line + "\n")
}

func (t *termTask) Done(text string, args ...any) {
	t.end(t.r.s.good.Render("✓"), t.r.s.faint.Render(format(text, args)))
}
func (t *termTask) Skip(reason string) {
	t.end(t.r.s.faint.Render("–"), t.r.s.faint.Render(OneLine(reason)))
}
func (t *termTask) Fail(err error) {
	t.end(t.r.s.bad.Render("✗"), gist(err))
}
