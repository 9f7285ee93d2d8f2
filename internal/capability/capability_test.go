package capability

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMissing(t *testing.T) {
	for _, tt := range []struct {
		name, status string
		last         int
		want         []string
		wantErr      bool
	}{
		{name: "all", status: "Name:\tx\nCapBnd:\t000001ffffffffff\nCapAmb:\t0\n", last: Last},
		{name: "a sandbox", status: "Name:\tx\nCapBnd:\t000001fffeffffff\n", last: Last, want: []string{SysResource}},
		{name: "an old kernel has fewer", status: "CapBnd:\t0000003fffffffff\n", last: 37},
		{name: "a container", status: "CapBnd:\t0000003fffffffff\n", last: Last, want: []string{"CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"}},
		{name: "absent", status: "Name:\tx\n", wantErr: true},
		{name: "no number", status: "CapBnd:\tzz\n", wantErr: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Missing(tt.status, tt.last)
			if (err != nil) != tt.wantErr {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if n := len(strings.Fields(names)); n != Last+1 {
		t.Errorf("%d names, the last with the number %d", n, Last)
	}
}
