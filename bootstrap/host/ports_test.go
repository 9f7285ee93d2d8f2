package host

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPortOwner asks about a real listener: this test's own.
func TestPortOwner(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(address, func(t *testing.T) {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			port := l.Addr().(*net.TCPAddr).Port
			err = CheckPort(t.Context(), port)
			if !errors.Is(err, ErrPortInUse) {
				t.Fatalf("err = %v, want ErrPortInUse", err)
			}
			owner, free, err := thisMachine(Options{}).portOwner(t.Context(), port)
			if err != nil || free || owner.PID != os.Getpid() {
				t.Errorf("owner = %+v, free %v, %v; want pid %d", owner, free, err, os.Getpid())
			}
			if name := filepath.Base(os.Args[0]); !strings.HasPrefix(name, owner.Name) || owner.Name == "" {
				t.Errorf("name = %q, want that of %q", owner.Name, name)
			}
			next, err := FreePort(port)
			if err != nil || next <= port {
				t.Errorf("FreePort = %d, %v; want one after %d", next, err, port)
			}
			l.Close()
			if err := CheckPort(t.Context(), port); err != nil {
				t.Errorf("after it was closed: %v", err)
			}
			if same, err := FreePort(port); err != nil || same != port {
				t.Errorf("FreePort = %d, %v; want %d", same, err, port)
			}
		})
	}
	if err := CheckPort(t.Context(), 70000); err == nil || errors.Is(err, ErrPortInUse) {
		t.Errorf("a port that is none: %v", err)
	}
}

func TestPortCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		name, publisher string
		chosen          bool
		want            Status
		found           string
	}{
		{name: "a default moves", want: Warn, found: "will be taken"},
		{name: "a choice does not", chosen: true, want: Fail, found: "in use"},
		{name: "our own platform", publisher: "druppie-control-plane druppie", chosen: true, want: OK, found: "running platform"},
		{name: "another cluster", publisher: "x-control-plane x", chosen: true, want: Fail, found: "container x-control-plane of cluster x"},
		{name: "another container", publisher: "web ", chosen: true, want: Fail, found: "by container web"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := machine(t, nil, map[string]string{"docker ps": tt.publisher + "\n"})
			h.engine = &engineFacts{Version: "20.10"}
			h.opt.Port, h.opt.PortChosen = l.Addr().(*net.TCPAddr).Port, tt.chosen
			f := h.checkPort(t.Context())
			if f.Status != tt.want || !strings.Contains(f.Found, tt.found) {
				t.Errorf("%+v, want %s with %q", f, tt.want, tt.found)
			}
		})
	}
}

func TestParseListeners(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	for _, tt := range []struct {
		name, table string
		want        []string
	}{
		{name: "loopback", table: head + "   0: 0100007F:20FB 00000000:0000 0A 0:0 0:0 0 0 0 111 1\n", want: []string{"111"}},
		{name: "everywhere", table: head + "   0: 00000000:20FB 00000000:0000 0A 0:0 0:0 0 0 0 112 1\n", want: []string{"112"}},
		{name: "everywhere, IPv6", table: head + "   0: 00000000000000000000000000000000:20FB 0:0 0A 0:0 0:0 0 0 0 113 1\n", want: []string{"113"}},
		{name: "loopback in IPv6", table: head + "   0: 0000000000000000FFFF00000100007F:20FB 0:0 0A 0:0 0:0 0 0 0 114 1\n", want: []string{"114"}},
		{name: "another address", table: head + "   0: 020200C0:20FB 00000000:0000 0A 0:0 0:0 0 0 0 115 1\n"},
		{name: "another port", table: head + "   0: 0100007F:20FC 00000000:0000 0A 0:0 0:0 0 0 0 116 1\n"},
		{name: "a connection", table: head + "   0: 0100007F:20FB 0100007F:1234 01 0:0 0:0 0 0 0 117 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parseListeners(tt.table, 8443)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
