package bench

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/log"
)

// payloadSize is the size of the payloads that appends are measured with.
const payloadSize = 2048

// drafts makes records as a pipeline's steps bring them: some for the same commit and image, with
// payloads that don't compress well.
type drafts struct {
	random *rand.ChaCha8
	who, n int
	refs   []tracedb.Ref
}

func newDrafts(seed uint64) *drafts {
	return &drafts{random: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1}), who: int(seed)}
}

func (r *drafts) hex(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = r.random.Read(raw) // it never fails
	return hex.EncodeToString(raw)
}

func (r *drafts) next(n int) []log.Prepared {
	out := make([]log.Prepared, n)
	for i := range out {
		// A run of a pipeline brings about a dozen records.
		if r.n%12 == 0 {
			service := r.random.Uint64() % 200
			r.refs = []tracedb.Ref{
				{Type: tracedb.RefCommit, Value: r.hex(20)}, {Type: tracedb.RefImage, Value: "sha256:" + r.hex(32)},
				{Type: tracedb.RefRepository, Value: fmt.Sprintf("druppie/service-%03d", service)}, {Type: tracedb.RefRun, Value: "foundry/release-" + r.hex(4)},
			}
		}
		r.n++
		head := fmt.Sprintf(`{"payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"bench"}],"payload":"`)
		out[i] = log.Prepared{Draft: tracedb.Draft{
			ID: fmt.Sprintf("run-%d-%d", r.who, r.n), Kind: tracedb.KindRun, Actor: "foundry", Outcome: tracedb.Passed, Refs: r.refs,
			At:      time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.n) * time.Millisecond),
			Payload: json.RawMessage(head + r.hex((payloadSize-len(head)-2)/2) + `"}`),
		}}
	}
	return out
}
