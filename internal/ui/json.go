package ui

import (
	"encoding/json"
	"io"
	"math"
	"sync"
	"time"
)

// event is one line of --progress=json. Kinds: start, detail, progress, done, skip, fail, note, and
// error for what ended the command.
type event struct {
	Time   string   `json:"time"`
	Event  string   `json:"event"`
	ID     string   `json:"id,omitempty"`
	Title  string   `json:"title,omitempty"`
	Detail string   `json:"detail,omitempty"`
	Done   *int64   `json:"done,omitempty"`
	Total  *int64   `json:"total,omitempty"`
	ETA    *float64 `json:"eta_seconds,omitempty"`
	Error  string   `json:"error,omitempty"`
	Hint   string   `json:"hint,omitempty"`
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// jsonReporter writes every event as a line of JSON.
type jsonReporter struct {
	mu  sync.Mutex
	enc *json.Encoder
}

func newJSON(w io.Writer) *jsonReporter {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &jsonReporter{enc: enc}
}

func (r *jsonReporter) emit(e event) {
	e.Time = stamp(time.Now())
	_ = r.enc.Encode(e) // nobody is left to tell when standard error is gone
}

func (r *jsonReporter) Note(text string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(event{Event: "note", Detail: format(text, args)})
}

func (r *jsonReporter) Start(id, title string) Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &jsonTask{r: r, track: track{id: id, title: OneLine(title), began: time.Now()}}
	t.emit(event{Event: "start"})
	return t
}

type jsonTask struct {
	r *jsonReporter
	track
	spoke time.Time
}

// emit adds what every event of a task carries.
func (t *jsonTask) emit(e event) {
	e.ID, e.Title = t.id, t.title
	if t.counting {
		done, total := t.done, t.total
		e.Done, e.Total = &done, &total
		if left, ok := t.eta(time.Now()); ok && !t.ended {
			s := math.Round(left.Seconds())
			e.ETA = &s
		}
	}
	t.r.emit(e)
}

func (t *jsonTask) Detail(text string, args ...any) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	detail := format(text, args)
	if t.ended || detail == t.detail {
		return
	}
	t.detail = detail
	t.emit(event{Event: "detail", Detail: detail})
}

// Progress is reported at most once a second, since some count bytes; the end of the work always is.
func (t *jsonTask) Progress(done, total int64) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if t.ended {
		return
	}
	now := time.Now()
	first := !t.counting
	t.progress(now, done, total)
	if complete := total > 0 && done >= total; !first && !complete && now.Sub(t.spoke) < time.Second {
		return
	}
	t.spoke = now
	t.emit(event{Event: "progress", Detail: t.detail})
}

func (t *jsonTask) end(e event) {
	t.r.mu.Lock()
	defer t.r.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	t.emit(e)
}

func (t *jsonTask) Done(text string, args ...any) {
	t.end(event{Event: "done", Detail: format(text, args)})
}
func (t *jsonTask) Skip(reason string) { t.end(event{Event: "skip", Detail: OneLine(reason)}) }
func (t *jsonTask) Fail(err error) {
	t.end(event{Event: "fail", Error: errText(err), Hint: Hint(err)})
}
