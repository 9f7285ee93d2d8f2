package ui

import (
	"encoding/json"
	"io"
	"math"
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

// jsonRenderer writes every event as a line of JSON.
type jsonRenderer struct{ enc *json.Encoder }

func newJSON(w io.Writer) jsonRenderer {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return jsonRenderer{enc}
}

func (r jsonRenderer) emit(e event) {
	e.Time = stamp(time.Now())
	_ = r.enc.Encode(e) // when standard error is gone, there is nowhere to report that
}

// emitTask adds what every event of a task carries.
func (r jsonRenderer) emitTask(t *task, e event) {
	e.ID, e.Title = t.id, t.title
	if t.counting {
		done, total := t.done, t.total
		e.Done, e.Total = &done, &total
		if left, ok := t.eta(time.Now()); ok && !t.ended {
			s := math.Round(left.Seconds())
			e.ETA = &s
		}
	}
	r.emit(e)
}

func (r jsonRenderer) note(text string) { r.emit(event{Event: "note", Detail: text}) }
func (r jsonRenderer) start(t *task)    { r.emitTask(t, event{Event: "start"}) }

// update reports progress at most once a second, since some count bytes; the end of the work always.
func (r jsonRenderer) update(t *task, kind string) {
	if kind == "progress" {
		now := time.Now()
		if complete := t.total > 0 && t.done >= t.total; !complete && now.Sub(t.written) < time.Second {
			return
		}
		t.written = now
	}
	r.emitTask(t, event{Event: kind, Detail: t.detail})
}

func (r jsonRenderer) end(t *task, o outcome) {
	if o.event == "fail" {
		r.emitTask(t, event{Event: o.event, Error: errText(o.err), Hint: Hint(o.err)})
		return
	}
	r.emitTask(t, event{Event: o.event, Detail: o.text})
}
