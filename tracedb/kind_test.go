package tracedb_test

import (
	"testing"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

// TestTerm holds the term against seven years from every day of a century: it is never shorter, nor much
// longer.
func TestTerm(t *testing.T) {
	for day := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() < 2120; day = day.AddDate(0, 0, 1) {
		if more := day.Add(tracedb.Term).Sub(day.AddDate(7, 0, 0)); more < 0 || more > 2*24*time.Hour {
			t.Fatalf("from %s on it is %s longer than seven years", day.Format(time.DateOnly), more)
		}
	}
}
