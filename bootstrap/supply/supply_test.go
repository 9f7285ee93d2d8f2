package supply

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"

	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/ui"
)

type fakeSupply struct {
	Supply
	name string
	err  error
}

func (f fakeSupply) Name() string                    { return f.name }
func (f fakeSupply) Available(context.Context) error { return f.err }

func TestChoose(t *testing.T) {
	down := fakeSupply{name: "registry", err: errors.New("out of reach")}
	up := fakeSupply{name: "modules"}
	got, why, err := Choose(t.Context(), down, up)
	if err != nil || got.Name() != "modules" || !strings.Contains(why, "registry can't be used (out of reach)") {
		t.Errorf("Choose = %v, %q, %v", got, why, err)
	}
	if got, _, err := Choose(t.Context(), up, down); err != nil || got.Name() != "modules" {
		t.Errorf("Choose = %v, %v", got, err)
	}
	if _, _, err := Choose(t.Context(), down); err == nil || ui.Hint(err) == "" {
		t.Errorf("Choose of nothing = %v", err)
	}
}

func TestWait(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var reported [][]string
	done := make(chan error, 1)
	called := make(chan struct{}, 10)
	go func() {
		done <- Wait(ctx, s, []string{"a.example/pa:1", "a.example/pb:1"}, func(m []string) {
			reported = append(reported, m)
			called <- struct{}{}
		})
	}()
	awaitCall := func() {
		select {
		case <-called:
		case err := <-done:
			t.Fatalf("Wait returned early: %v", err)
		}
	}
	awaitCall()
	for _, ref := range []string{"a.example/pb:1", "a.example/pa:1"} {
		if _, err := s.PutImage(ref, empty.Image, nil); err != nil {
			t.Fatal(err)
		}
		if ref == "a.example/pb:1" {
			awaitCall()
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"a.example/pa:1", "a.example/pb:1"}, {"a.example/pa:1"}}
	if d := cmp.Diff(want, reported); d != "" {
		t.Error(d)
	}
	short, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	err = Wait(short, s, []string{"a.example/none:1"}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "a.example/none:1") {
		t.Errorf("Wait = %v", err)
	}
}
