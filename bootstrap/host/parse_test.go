package host

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/druppie/druppie-up/internal/ui"
)

func TestMergeDaemon(t *testing.T) {
	const done = `{"runtimes":{"druppie-runc":{"path":"/usr/local/libexec/druppie-runc"}}, "default-runtime":"druppie-runc"}`
	for _, tt := range []struct {
		name, in, want, before, wantErr string
	}{
		{name: "none", want: `{"default-runtime":"druppie-runc","runtimes":{"druppie-runc":{"path":"/usr/local/libexec/druppie-runc"}}}`},
		{name: "empty", in: " \n", want: `{"default-runtime":"druppie-runc","runtimes":{"druppie-runc":{"path":"/usr/local/libexec/druppie-runc"}}}`},
		{
			name: "others' settings stay", before: "nvidia",
			in:   `{"data-root":"/data","default-runtime":"nvidia","runtimes":{"nvidia":{"path":"n","runtimeArgs":[]}},"max":12345678901234567890}`,
			want: `{"data-root":"/data","default-runtime":"druppie-runc","max":12345678901234567890,"runtimes":{"druppie-runc":{"path":"/usr/local/libexec/druppie-runc"},"nvidia":{"path":"n","runtimeArgs":[]}}}`,
		},
		{name: "done already", in: done, want: done, before: "druppie-runc"},
		{name: "not JSON", in: `{`, wantErr: "not a JSON object"},
		{name: "an array", in: `[]`, wantErr: "not a JSON object"},
		{name: "null", in: `null`, wantErr: "not a JSON object"},
		{name: "runtimes of another shape", in: `{"runtimes":[]}`, wantErr: "runtimes is not an object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, before, err := mergeDaemon([]byte(tt.in))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("err = %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || before != tt.before {
				t.Fatalf("before = %q, %v; want %q", before, err, tt.before)
			}
			if diff := cmp.Diff(flat(tt.want), flat(string(got))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, _, err := mergeDaemon(got)
			if err != nil || string(again) != string(got) {
				t.Errorf("merged again: %s, %v", again, err)
			}
		})
	}
}

// flat takes out white space: none of the tests' values has any.
func flat(s string) string { return strings.Join(strings.Fields(s), "") }

func TestAtLeast(t *testing.T) {
	for _, tt := range []struct {
		version string
		want    bool
	}{
		{"20.10.24+dfsg1", true},
		{"20.10", true},
		{"28.2.2", true},
		{"20.9.1", false},
		{"19.03.15", false},
		{"20", false},
		{"dev", false},
		{"", false},
	} {
		if got := atLeast(tt.version, leastEngine); got != tt.want {
			t.Errorf("atLeast(%q) = %v", tt.version, got)
		}
	}
}

func TestParseInfo(t *testing.T) {
	for _, tt := range []struct {
		name, out, version, wantErr string
	}{
		{name: "an engine", out: `{"ServerVersion":"20.10.24","DockerRootDir":"/var/lib/docker","CgroupVersion":"1","SecurityOptions":["name=seccomp"]}`, version: "20.10.24"},
		{name: "no engine", out: `{"ServerErrors":["Cannot connect to the Docker daemon"],"ClientInfo":{}}`, wantErr: "Cannot connect"},
		{name: "nothing said", out: `{"ClientInfo":{}}`, wantErr: "names no engine"},
		{name: "no JSON", out: ``, wantErr: "docker info"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseInfo([]byte(tt.out))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("err = %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || got.Version != tt.version {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestParseRoutes(t *testing.T) {
	const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
tun0	0000600A	00000000	0001	0	0	0	0000F0FF	0	0	0
`
	want := []route{
		{"docker0", netip.MustParsePrefix("172.17.0.0/16")},
		{"tun0", netip.MustParsePrefix("10.96.0.0/12")},
	}
	if diff := cmp.Diff(want, parseRoutes(table), cmp.AllowUnexported(route{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNetworksClash(t *testing.T) {
	const head = "Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT\n"
	const kind = "fc00::/64\n172.18.0.0/16\n\n"
	for _, tt := range []struct {
		name, routes, resolvers string
		want                    Status
	}{
		{name: "apart", routes: "eth0 000200C0 0 0001 0 0 0 00FFFFFF 0 0 0\nbr-1 000012AC 0 0001 0 0 0 0000FFFF 0 0 0\n", resolvers: "nameserver 192.0.2.53\n", want: OK},
		{name: "a VPN over Services", routes: "tun0 0000600A 0 0001 0 0 0 0000F0FF 0 0 0\n", want: Warn},
		{name: "a name server among pods", resolvers: "# x\nnameserver 10.244.0.2\n", want: Warn},
		{name: "a VPN over the nodes", routes: "tun0 000010AC 0 0001 0 0 0 0000F0FF 0 0 0\n", want: Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := machine(t, map[string]string{"proc/net/route": head + tt.routes, "etc/resolv.conf": tt.resolvers}, map[string]string{"docker network inspect kind": kind})
			h.engine = &engineFacts{Version: "20.10"}
			if f := h.checkNetworks(t.Context()); f.Status != tt.want {
				t.Errorf("%+v, want %s", f, tt.want)
			}
		})
	}
}

func TestParsePackages(t *testing.T) {
	before := parsePackages("ii  bash\nrc  docker.io\nun  iptables\n")
	after := parsePackages("ii  bash\nii  docker.io\nii  runc\nii  runc\nhi  iptables\n")
	if diff := cmp.Diff([]string{"bash"}, before); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"docker.io", "iptables", "runc"}, added(before, after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	removed := parseRemovals("Reading package lists...\nPurg docker.io [20.10]\nRemv runc:amd64 [1.1]\nInst x\n")
	if diff := cmp.Diff([]string{"docker.io", "runc"}, removed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := firstURI("Hit\n'http://deb.example.org/InRelease' name 0\n'http://b' x 0"); got != "http://deb.example.org/InRelease" {
		t.Errorf("firstURI = %q", got)
	}
}

func TestProxyFinding(t *testing.T) {
	inside := "localhost,127.0.0.1,.svc,.cluster.local,10.96.0.0/16,10.244.0.0/16,druppie-mirror"
	for _, tt := range []struct {
		name  string
		env   map[string]string
		want  Status
		found string
		mend  string
	}{
		{name: "none", want: OK, found: "none"},
		{name: "all inside exempt", env: map[string]string{"HTTPS_PROXY": "http://p:3128", "NO_PROXY": inside}, want: OK, found: "p:3128"},
		{name: "in small letters", env: map[string]string{"https_proxy": "http://p:3128", "no_proxy": "*"}, want: OK, found: "p:3128"},
		{name: "inside not exempt", env: map[string]string{"HTTP_PROXY": "http://p:3128", "NO_PROXY": "localhost, 127.0.0.1"}, want: Warn, found: "lacks .svc"},
		{name: "a password is not shown", env: map[string]string{"HTTP_PROXY": "http://me:secret@p:3128", "NO_PROXY": "*"}, want: OK, found: "http://…@p:3128"},
		{name: "nor one without a scheme", env: map[string]string{"HTTP_PROXY": "me:secret@p:3128", "NO_PROXY": "*"}, want: OK, found: "=…@p:3128"},
		{name: "nor one with an @", env: map[string]string{"HTTP_PROXY": "me:a@secret@p:3128", "NO_PROXY": "*"}, want: OK, found: "=…@p:3128"},
		{name: "nor one with an @ after a scheme", env: map[string]string{"https_proxy": "http://me:a@secret@p:3128", "NO_PROXY": "*"}, want: OK, found: "http://…@p:3128"},
		{name: "nor one with a blank", env: map[string]string{"HTTP_PROXY": "http://me:a@b secret@p:3128", "NO_PROXY": "*"}, want: OK, found: "http://…@p:3128"},
		{name: "nor one that looks like a path", env: map[string]string{"HTTP_PROXY": "http://me:12/secret@p:3128", "NO_PROXY": "*"}, want: OK, found: "http://…@p:3128"},
		{name: "nor one that looks like a scheme", env: map[string]string{"ALL_PROXY": "me:secret://secret@p:3128", "NO_PROXY": "*"}, want: OK, found: "=…@p:3128"},
		{name: "larger networks cover ours", env: map[string]string{"HTTP_PROXY": "http://p:3128", "NO_PROXY": "localhost,127.0.0.0/8,svc,*.local,10.0.0.0/8,druppie-mirror"}, want: OK, found: "p:3128"},
		{name: "smaller networks don't", env: map[string]string{"HTTP_PROXY": "http://p:3128", "NO_PROXY": inside[:strings.Index(inside, "10.")] + "10.96.0.0/24,10.244.0.0/16,druppie-mirror"}, want: Warn, found: "lacks 10.96.0.0/16"},
		{
			name: "blanks separate nothing", env: map[string]string{"HTTP_PROXY": "http://p:3128", "NO_PROXY": "localhost 127.0.0.1"}, want: Warn, found: "lacks localhost, 127.0.0.1",
			mend: "export NO_PROXY=localhost,127.0.0.1,.svc,.cluster.local,druppie-mirror,10.96.0.0/16,10.244.0.0/16",
		},
		{
			name: "what is pasted has commas alone", env: map[string]string{"HTTP_PROXY": "http://p:3128", "NO_PROXY": "localhost, 127.0.0.1 , a.example, .svc,.cluster.local,10.0.0.0/8"}, want: Warn, found: "lacks druppie-mirror",
			mend: "export NO_PROXY=localhost,127.0.0.1,a.example,.svc,.cluster.local,10.0.0.0/8,druppie-mirror",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := proxyFinding(func(k string) string { return tt.env[k] }, "druppie")
			if f.Status != tt.want || !strings.Contains(f.Found, tt.found) || strings.Contains(f.Found, "secret") {
				t.Errorf("%+v, want %s with %q", f, tt.want, tt.found)
			}
			if tt.mend != "" && f.Mend != tt.mend {
				t.Errorf("mend %q, want %q", f.Mend, tt.mend)
			}
		})
	}
}

// TestFindingsHideProxyUsers: a library that can't read a proxy's address
// repeats it in its error, the password with it.
func TestFindingsHideProxyUsers(t *testing.T) {
	for _, proxy := range []string{"http://me:sec ret@p:3128", "http://me:a@sec\"ret@p:3128", "me:secret@p:3128"} {
		t.Run(proxy, func(t *testing.T) {
			t.Setenv("HTTPS_PROXY", proxy)
			failing := Check{Name: "supply", Title: "Sources", Why: "images", Run: func(*Host, context.Context) Finding {
				return Finding{Status: Fail, Found: fmt.Sprintf("invalid proxy address %q: %s is unreadable", proxy, proxy)}
			}}
			findings, err := machine(t, nil, nil).check(t.Context(), []Check{failing}, ui.Discard())
			if err != nil {
				t.Fatal(err)
			}
			if got := findings[0].Found; strings.Contains(got, "ret") || !strings.Contains(got, "p:3128") {
				t.Errorf("found %q, want the address without user and password", got)
			}
		})
	}
}

func TestDiskFinding(t *testing.T) {
	needs := map[string]need{"/cache": {"the cache", 10 * gib, 20 * gib}, "/engine": {"the engine", 4 * gib, 10 * gib}}
	for _, tt := range []struct {
		name          string
		cache, engine int64
		shared        bool
		want          Status
	}{
		{name: "plenty apart", cache: 30, engine: 30, want: OK},
		{name: "plenty together", cache: 40, shared: true, want: OK},
		{name: "enough for one, not for both", cache: 25, shared: true, want: Warn},
		{name: "too little together", cache: 12, shared: true, want: Fail},
		{name: "too little for one", cache: 30, engine: 3, want: Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := diskFinding(needs, func(dir string) (uint64, int64, error) {
				if dir == "/cache" || tt.shared {
					return 1, tt.cache * gib, nil
				}
				return 2, tt.engine * gib, nil
			})
			if f.Status != tt.want || (tt.want != OK) != (f.Mend != "") {
				t.Errorf("%+v, want %s", f, tt.want)
			}
		})
	}
}

func TestSupplyFinding(t *testing.T) {
	no := errNo{}
	for _, tt := range []struct {
		name, want        string
		filled            bool
		registry, modules error
		status            Status
		found             string
	}{
		{name: "auto prefers registry", want: "auto", status: OK, found: "auto takes registry"},
		{name: "auto falls back", want: "auto", registry: no, status: OK, found: "auto takes modules"},
		{name: "nothing", want: "auto", registry: no, modules: no, status: Fail},
		{name: "nothing but a store", want: "auto", registry: no, modules: no, filled: true, status: Warn, found: "the store on disk"},
		{name: "the wanted one is out of reach", want: "registry", registry: no, status: Fail},
		{name: "the other one is out of reach", want: "modules", registry: no, status: OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := supplyFinding(tt.want, tt.filled, tt.registry, tt.modules)
			if f.Status != tt.status || !strings.Contains(f.Found, tt.found) {
				t.Errorf("%+v, want %s with %q", f, tt.status, tt.found)
			}
		})
	}
}

type errNo struct{}

func (errNo) Error() string { return "no route" }

func TestPidsFiles(t *testing.T) {
	for _, tt := range []struct {
		name, cgroup string
		want         []string
	}{
		{name: "version 2", cgroup: "0::/user.slice/a.scope\n", want: []string{"/sys/fs/cgroup/user.slice/a.scope/pids.max"}},
		{name: "version 1", cgroup: "8:pids:/x\n4:memory:/y\n", want: []string{"/sys/fs/cgroup/pids/x/pids.max"}},
		{name: "none", cgroup: "garbage\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, pidsFiles(tt.cgroup)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnginePID(t *testing.T) {
	for _, tt := range []struct {
		name, status string
		want         int
	}{
		{name: "runs", status: "Name:\tdockerd\nState:\tS (sleeping)\n", want: 42},
		{name: "ended, not reaped", status: "Name:\tdockerd\nState:\tZ (zombie)\n"},
		{name: "another's number by now", status: "Name:\tsh\nState:\tS (sleeping)\n"},
		{name: "gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"run/docker.pid": "42"}
			if tt.status != "" {
				files["proc/42/status"] = tt.status
			}
			h := machine(t, files, nil)
			if got := h.enginePID(); got != tt.want {
				t.Errorf("pid = %d, want %d", got, tt.want)
			}
			h.removeStalePIDFiles()
			if _, err := h.read(enginePID); (err == nil) != (tt.want != 0) {
				t.Errorf("the pid file after clearing: %v", err)
			}
		})
	}
}
