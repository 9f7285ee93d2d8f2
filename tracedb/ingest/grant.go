package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/catalog"
	"github.com/druppie/druppie-up/tracedb/log"
)

// maxException is how long an exception may hold: what is still needed after a year must be granted
// again by somebody who looks at it again.
const maxException = 366 * 24 * time.Hour

// exception holds a grant against the clock. One that is over already is taken only where it takes
// back another.
func (in *Ingester) exception(p *log.Prepared) error {
	var e tracedb.Exception
	if err := json.Unmarshal(p.Payload, &e); err != nil {
		return fmt.Errorf("read exception: %w", err)
	}
	now := in.o.Now()
	if e.Until.After(now.Add(maxException)) {
		return refuse("payload.until", "want at most a year from now").WithHint("grant it anew when the year is over")
	}
	if e.Until.After(now) {
		return nil
	}
	if _, ok := in.o.Catalog.Exception(catalog.ExceptionKey(e.Algorithm, e.Rule, e.Image)); ok {
		return nil
	}
	return refuse("payload.until", "want a time to come; it may be over only to take back an exception, and there is none")
}

// identified refuses an entry under another id than the repository has: what the register says of it,
// that it is out of use for instance, would be left behind with the old one.
func (in *Ingester) identified(id string, about []tracedb.Ref) error {
	for _, r := range about {
		if r.Type != tracedb.RefRepository {
			continue
		}
		if known, ok := in.o.Catalog.Identity(r.Value); ok && known != id {
			return tracedb.ErrBound.Says("%s is registered as %s", r.Value, known).At("payload.source.id").
				WithHint("an id never changes within a repository: put it back, or give the new algorithm a repository of its own")
		}
	}
	return nil
}

// repair wants the incident to be there.
func (in *Ingester) repair(ctx context.Context, p *log.Prepared) error {
	var r tracedb.Repair
	if err := json.Unmarshal(p.Payload, &r); err != nil {
		return fmt.Errorf("read repair: %w", err)
	}
	entries, err := in.o.Log.Entries(ctx, r.Incident)
	if e := tracedb.AsError(err); err != nil && e.Code != tracedb.ErrNotFound.Code {
		return fmt.Errorf("find the incident: %w", err)
	}
	if err != nil || entries[0].Kind != tracedb.KindIncident {
		return refuse("payload.incident", "there is no incident at this place")
	}
	return nil
}
