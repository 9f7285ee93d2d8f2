package ui

import (
	"fmt"
	"time"
)

// track keeps what one task reported, for whichever renderer shows it.
type track struct {
	id, title string
	detail    string
	began     time.Time
	ended     bool

	done, total int64
	share       float64   // how much of the bar is full, from 0 to 1
	counting    bool      // a first Progress came
	base        int64     // what was done when counting began
	counted     time.Time // when counting began
}

// progress takes a report. What was done stays done, and a bar never falls: where the total grows,
// it stands until the work has caught up.
func (t *track) progress(now time.Time, done, total int64) {
	done = max(done, t.done)
	if total > 0 {
		done = min(done, total)
		t.share = max(t.share, float64(done)/float64(total))
	}
	if !t.counting {
		t.counting, t.base, t.counted = true, done, now
	}
	t.done, t.total = done, total
}

// Before this much time and this part of the work nobody can say anything about the rest.
const (
	etaMinElapsed = 5 * time.Second
	etaMinShare   = 0.02
)

// eta works out the time left from the work done since counting began; ok is false as long as there
// is too little to go by. While nothing moves it grows with the clock, so that it has no leap to make
// when a late unit of work ends.
func (t *track) eta(now time.Time) (left time.Duration, ok bool) {
	gained := t.done - t.base
	if t.total <= 0 || gained <= 0 || t.done >= t.total {
		return 0, false
	}
	spent := now.Sub(t.counted)
	if spent < etaMinElapsed || float64(gained) < etaMinShare*float64(t.total-t.base) {
		return 0, false
	}
	return time.Duration(float64(spent) * float64(t.total-t.done) / float64(gained)), true
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
	return fmt.Sprintf("%d%%", int(t.share*100))
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
