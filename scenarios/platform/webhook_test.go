package platform

import (
	"reflect"
	"testing"
)

// What isn't written again is lost: a webhook that was off for a while must be what it was.
func TestSwitchedWebhookKeepsWhatItIs(t *testing.T) {
	was := webhook{ID: 2, Name: "trace 1a2b", Active: true, BranchFilter: "main", Events: []string{"pull_request", "push", "pull_request_review"}}
	want := webhook{Name: "trace 1a2b", BranchFilter: "main", Events: []string{"pull_request_only", "push", "pull_request_review"}}
	if got := was.switched(false); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if was.Events[0] != "pull_request" {
		t.Error("the webhook that was read is changed")
	}
}
