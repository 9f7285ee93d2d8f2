package promotion

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/druppie/druppie-up/cmd/foundry/internal/credentials"
	"github.com/druppie/druppie-up/cmd/foundry/internal/fleet"
	"github.com/druppie/druppie-up/internal/giteaclient"
)

// TestTurns holds whose turn it is: of the open promotions of one service the oldest's, and what a failed run has left
// is closed and holds up nobody.
func TestTurns(t *testing.T) {
	service := fleet.Service{Repository: "druppie/drone-service", Tenant: "drones", Image: "registry:5000/druppie/drone-service"}
	release := func(n string) fleet.Release {
		return fleet.Release{Commit: strings.Repeat(n, 40), Digest: "sha256:" + strings.Repeat(n, 64)}
	}
	mine := release("a")
	now := time.Now()
	pr := func(number int64, poster, title string, updated time.Time) map[string]any {
		return map[string]any{"number": number, "title": title, "updated_at": updated, "user": map[string]any{"login": poster}}
	}
	other := title(service, release("b"))
	tests := []struct {
		name    string
		open    []map[string]any
		mine    int64 // 0: it isn't there yet
		earlier []int64
		closed  []string
	}{
		{"alone", nil, 0, nil, nil},
		{"its own", []map[string]any{pr(7, "foundry", title(service, mine), now)}, 7, nil, nil},
		{"another before it", []map[string]any{pr(6, "foundry", other, now), pr(7, "foundry", title(service, mine), now)}, 7, []int64{6}, nil},
		{"another after it", []map[string]any{pr(8, "foundry", other, now), pr(7, "foundry", title(service, mine), now)}, 7, nil, nil},
		{"another, and not proposed yet", []map[string]any{pr(8, "foundry", other, now)}, 0, []int64{8}, nil},
		{"one that a failed run has left", []map[string]any{pr(6, "foundry", other, now.Add(-2*abandoned)), pr(7, "foundry", title(service, mine), now)}, 7, nil, []string{"6"}},
		{"one that was refused", []map[string]any{pr(9, "foundry", other, now), pr(10, "foundry", title(service, mine), now)}, 10, nil, []string{"9"}},
		{"another service, whose name begins the same", []map[string]any{pr(6, "foundry", "tenants/drones/drone-service-two: 1 from commit 2", now)}, 0, nil, nil},
		{"somebody else's", []map[string]any{pr(6, "flux", other, now), pr(5, "flux", title(service, mine), now.Add(-2*abandoned))}, 0, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var closed []string
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPatch {
					closed = append(closed, r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
					w.WriteHeader(http.StatusCreated)
					fmt.Fprint(w, "{}")
					return
				}
				if strings.HasSuffix(r.URL.Path, "/reviews") {
					refused := []map[string]any{}
					if strings.Contains(r.URL.Path, "/pulls/9/") {
						refused = append(refused, map[string]any{"state": "REQUEST_CHANGES"})
					}
					_ = json.NewEncoder(w).Encode(refused)
					return
				}
				if err := json.NewEncoder(w).Encode(tt.open); err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(srv.Close)
			api, err := giteaclient.New(t.Context(), giteaclient.Options{URL: srv.URL, HTTP: srv.Client()})
			if err != nil {
				t.Fatal(err)
			}
			c := Client{Fleet: "druppie/fleet", Credentials: credentials.Basic{Username: "foundry"}}
			own, before, err := c.proposed(api, service, mine)
			if err != nil {
				t.Fatal(err)
			}
			var number int64
			if own != nil {
				number = own.Index
			}
			var earlier []int64
			for _, p := range before {
				earlier = append(earlier, p.Index)
			}
			if number != tt.mine || !cmp.Equal(earlier, tt.earlier) || !cmp.Equal(closed, tt.closed) {
				t.Errorf("mine %d, before it %v, closed %v; want %d, %v, %v", number, earlier, closed, tt.mine, tt.earlier, tt.closed)
			}
		})
	}
}
