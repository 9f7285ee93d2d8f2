package ui

import (
	"fmt"
	"time"
)

// track keeps what one task told, for whichever reporter draws it.
type track struct {
	id, title string
	detail    string
	began     time.Time
	ended     bool

	done, total int64
	counting    bool      // a first Progress came
	base        int64     // what was done when counting began
	counted     time.Time // when counting began
	moved       time.Time // when done moved last
}

func (t *track) progress(now time.Time, done, total int64) {
	done = max(done, 0)
	if total > 0 {
		done = min(done, total)
	}
	// A total that changes is not speed, and neither is work that turns out to be undone: in the
	// latter case all that was measured is void.
	if !t.counting || done < t.base {
		t.counting, t.base, t.counted, t.moved = true, done, now, now
	} else if done != t.done {
		t.moved = now
	}
	t.done, t.total = done, total
}

// Before this much time and this part of the work nobody can say anything about the rest.
const (
	etaMinElapsed = 5 * time.Second
	etaMinShare   = 0.02
)

// eta works out the time left from the work done since counting began; ok is false as long as there
// is too little to go by. Between two reports it counts down, since the work goes on; once that runs
// out, the current unit takes longer than its weight said, and all the time it took so far counts.
func (t *track) eta(now time.Time) (left time.Duration, ok bool) {
	gained := t.done - t.base
	if t.total <= 0 || gained <= 0 || t.done >= t.total {
		return 0, false
	}
	spent := t.moved.Sub(t.counted)
	if spent < etaMinElapsed || float64(gained) < etaMinShare*float64(t.total-t.base) {
		return 0, false
	}
	todo := float64(t.total-t.done) / float64(gained)
	left = time.Duration(todo*float64(spent)) - now.Sub(t.moved)
	if left <= 0 {
		left = time.Duration(todo * float64(now.Sub(t.counted)))
	}
	return left, true
}

// counts gives "3/30" for small numbers of things and a percentage for large amounts (bytes, weights).
func (t *track) counts() string {
	switch {
	case !t.counting:
		return ""
	case t.total <= 0:
		return fmt.Sprintf("%d", t.done)
	case t.total <= 1000:
		return fmt.Sprintf("%d/%d", t.done, t.total)
	}
	return fmt.Sprintf("%d%%", t.done*100/t.total)
}

// short writes a duration the way people say it: tenths below ten seconds, no seconds above an hour.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// about writes an estimate, no finer than it deserves.
func about(d time.Duration) string {
	switch {
	case d < 20*time.Second:
		return "a few seconds left"
	case d < 90*time.Second:
		return fmt.Sprintf("about %ds left", int(d.Round(10*time.Second).Seconds()))
	case d < 90*time.Minute:
		return fmt.Sprintf("about %dm left", int(d.Round(time.Minute).Minutes()))
	}
	d = d.Round(10 * time.Minute)
	return fmt.Sprintf("about %dh%02dm left", int(d.Hours()), int(d.Minutes())%60)
}
