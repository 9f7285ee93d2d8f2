package scenarios

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestExcerpt(t *testing.T) {
	x := Excerpt{
		Script: "phase p\ngrep '^kind: Pod$' pod.yaml\nenv B=$A.2\nkeep B\n", Vars: map[string]string{"A": "1"},
	}
	res, kept, err := RunExcerpt(t.Context(), Options{Name: "root-refused"}, x)
	if err != nil || !res.Passed || len(kept) != 1 || kept["B"] != "1.2" {
		t.Errorf("got %+v, %v, %v", res, kept, err)
	}
	x.Script = "phase p\nkeep NOTHING\n"
	if res, _, err := RunExcerpt(t.Context(), Options{Name: "root-refused"}, x); !errors.Is(err, ErrFailed) || res.Failed() != "p" {
		t.Errorf("got %+v, %v", res, err)
	}
	if _, _, err := RunExcerpt(t.Context(), Options{Name: "moon-landing"}, x); err == nil {
		t.Error("there is an excerpt of no scenario")
	}
}

func TestPatience(t *testing.T) {
	e := newEngine(t.Context(), Options{}.filled())
	e.patience = time.Millisecond
	c := &call{engine: e, ctx: t.Context()}
	err := c.wait(time.Hour, func() (bool, string, error) { return false, "for rain", nil })
	if err == nil || !strings.Contains(err.Error(), "not within 1ms: for rain") {
		t.Errorf("got %v", err)
	}
}

func TestAnswer(t *testing.T) {
	digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	tests := []struct {
		name, answer, right string
		want                bool
	}{
		{"a number", "241", "241", true},
		{"one of the others", "7", "7 241", true},
		{"a part of a number", "24", "241", false},
		{"another", "242", "241", false},
		{"none", "none", "241", false},
		{"a pattern", ".*", "241", false},
		{"in capitals", "Tenant-Drones", "tenant-drones", true},
		{"all of a digest", digest, digest, true},
		{"the beginning of a digest", digest[:19], digest, true},
		{"that without its kind", digest[7:19], digest, true},
		{"too little of a digest", digest[:9], digest, false},
		{"another digest", "sha256:ffffffffffff", digest, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := answering(t, [2]string{"trace why", "seq: " + strings.Join(strings.Fields(tt.right), "\nseq: ") + "\n"})
			e.vars = map[string]string{"ANSWER": tt.answer}
			h := runScript(t, e, "trace why x\nanswer 'seq: (.+)'\n")
			if h.failed == tt.want {
				t.Errorf("failed: %v\n%s", h.failed, h.log.String())
			}
		})
	}
	e, _ := answering(t, [2]string{"trace why", "nothing\n"})
	e.vars = map[string]string{"ANSWER": "none"}
	if h := runScript(t, e, "trace why x\nanswer 'seq: (.+)'\n"); !h.failed || !strings.Contains(h.log.String(), "nothing here fits") {
		t.Errorf("got %s", h.log.String())
	}
}

func TestExcerptThatIsCancelledDidNotPass(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res, _, err := RunExcerpt(ctx, Options{Name: "root-refused"}, Excerpt{Script: "phase x\n"})
	if !errors.Is(err, context.Canceled) || res.Passed {
		t.Errorf("got %+v, %v", res, err)
	}
}
