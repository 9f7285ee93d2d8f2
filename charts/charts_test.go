package charts_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/druppie/druppie-up/charts"
)

var namespaces = map[string]string{"registry": "foundry", "gitea": "gitea", "frontdoor": "foundry"}

// load reads a chart.
func load(t *testing.T, name string) *chart.Chart {
	t.Helper()
	var files []*loader.BufferedFile
	err := fs.WalkDir(charts.FS, name, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := charts.FS.ReadFile(path)
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(path, name+"/"), Data: b})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render gives every object of a chart, as YAML, by kind and name; of several
// with one name, by namespace too.
func render(t *testing.T, name string, values map[string]any) map[string][]byte {
	t.Helper()
	c := load(t, name)
	namespace := namespaces[name]
	if namespace == "" {
		namespace = "druppie-system"
	}
	v, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: name, Namespace: namespace}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := engine.Engine{Strict: true}.Render(c, v)
	if err != nil {
		t.Fatal(err)
	}
	objs := map[string][]byte{}
	for _, text := range out {
		for _, doc := range strings.Split(text, "\n---\n") {
			var u unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
				t.Fatalf("%v in\n%s", err, doc)
			}
			if u.Object != nil {
				id := u.GetKind() + "/" + u.GetName()
				if objs[id] != nil {
					id += " in " + u.GetNamespace()
				}
				objs[id] = []byte(doc)
			}
		}
	}
	return objs
}

func decode[T any](t *testing.T, b []byte) T {
	t.Helper()
	var v T
	if b == nil {
		t.Fatal("no such object")
	}
	if err := yaml.UnmarshalStrict(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPodsMayDoNoMoreThanTheyNeed(t *testing.T) {
	for name, namespace := range namespaces {
		t.Run(name, func(t *testing.T) {
			d := decode[appsv1.Deployment](t, render(t, name, nil)["Deployment/"+name])
			if d.Namespace != namespace {
				t.Errorf("namespace %q, want %q", d.Namespace, namespace)
			}
			pod := d.Spec.Template.Spec
			if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
				t.Error("mounts a service account token")
			}
			sc := pod.SecurityContext
			if sc == nil || sc.RunAsNonRoot == nil || !*sc.RunAsNonRoot || sc.SeccompProfile == nil || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Error("not non-root with the runtime's seccomp profile")
			}
			if len(pod.Containers) == 0 {
				t.Error("no container")
			}
			for _, c := range pod.Containers {
				no, yes, sc := false, true, c.SecurityContext
				if sc == nil || sc.Capabilities == nil {
					t.Errorf("%s: no security context, or all capabilities", c.Name)
					continue
				}
				want := &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: sc.Capabilities.Add},
				}
				if diff := cmp.Diff(want, sc); diff != "" {
					t.Errorf("%s: security context (-want +got):\n%s", c.Name, diff)
				}
				for _, add := range sc.Capabilities.Add {
					if add != "NET_BIND_SERVICE" {
						t.Errorf("%s adds capability %s", c.Name, add)
					}
				}
				if len(c.Command) == 0 {
					t.Errorf("%s: no command, so it depends on the image's", c.Name)
				}
			}
		})
	}
}

func TestRegistryListensToItsFrontOnly(t *testing.T) {
	objs := render(t, "registry", nil)
	cm := decode[corev1.ConfigMap](t, objs["ConfigMap/registry"])
	if !strings.Contains(cm.Data["registry.yml"], "addr: 127.0.0.1:5001") {
		t.Error("the registry listens to more than its front")
	}
	svc := decode[corev1.Service](t, objs["Service/registry"])
	if svc.Spec.ClusterIP != "10.96.0.50" || len(svc.Spec.Ports) != 1 || svc.Spec.Ports[0].Port != 5000 {
		t.Errorf("service %+v", svc.Spec)
	}
}

func TestPortReachesLinks(t *testing.T) {
	values := map[string]any{"port": 9443}
	for chart, want := range map[string]string{
		"gitea":     "ROOT_URL = https://gitea.druppie.localhost:9443/",
		"frontdoor": `href="https://trace.druppie.localhost:9443/"`,
	} {
		cm := decode[corev1.ConfigMap](t, render(t, chart, values)["ConfigMap/"+chart])
		if all := cm.Data["app.ini"] + cm.Data["index.html"]; !strings.Contains(all, want) {
			t.Errorf("%s: no %s", chart, want)
		}
	}
}

// What reads its certificate only at the start has to start again when that was renewed, and not when another's was.
func TestRenewedCertificateRestartsWhatServesIt(t *testing.T) {
	for chart, secret := range map[string]string{"registry": "registry-tls", "gitea": "gitea-tls", "frontdoor": "frontdoor-tls"} {
		pod := func(certificates map[string]any) map[string]string {
			objs := render(t, chart, map[string]any{"certificates": certificates})
			return decode[appsv1.Deployment](t, objs["Deployment/"+chart]).Spec.Template.Annotations
		}
		before := pod(map[string]any{secret: "one", "another": "one"})
		if diff := cmp.Diff(before, pod(map[string]any{secret: "one", "another": "two"})); diff != "" {
			t.Errorf("%s starts again because of another's certificate:\n%s", chart, diff)
		}
		if cmp.Equal(before, pod(map[string]any{secret: "two", "another": "one"})) {
			t.Errorf("%s would go on serving the old certificate", chart)
		}
	}
}

// What Gitea tells the trace goes to the one who has the platform's certificate.
func TestGiteaTrustsThePlatformAlone(t *testing.T) {
	objs := render(t, "gitea", nil)
	ini := decode[corev1.ConfigMap](t, objs["ConfigMap/gitea"]).Data["app.ini"]
	if strings.Contains(ini, "SKIP_TLS_VERIFY") {
		t.Error("webhooks go to whoever answers")
	}
	pod := decode[appsv1.Deployment](t, objs["Deployment/gitea"]).Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers, want Gitea's alone", len(pod.Containers))
	}
	env := map[string]string{}
	for _, e := range pod.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if env["SSL_CERT_FILE"] != env["SSL_CERT_DIR"]+"/ca.crt" {
		t.Errorf("trusts %q and what is in %q", env["SSL_CERT_FILE"], env["SSL_CERT_DIR"])
	}
	source := ""
	for _, m := range pod.Containers[0].VolumeMounts {
		for _, v := range pod.Volumes {
			if m.MountPath == env["SSL_CERT_DIR"] && v.Name == m.Name && v.ConfigMap != nil {
				source = v.ConfigMap.Name
			}
		}
	}
	if source != "platform-ca" {
		t.Errorf("what it trusts comes from config map %q", source)
	}
}

func TestFrontDoorVerifiesWhatLiesBehindIt(t *testing.T) {
	caddyfile := decode[corev1.ConfigMap](t, render(t, "frontdoor", nil)["ConfigMap/frontdoor"]).Data["Caddyfile"]
	proxies := strings.Split(caddyfile, "reverse_proxy https://")[1:]
	if len(proxies) < 3 {
		t.Fatalf("%d ways in:\n%s", len(proxies), caddyfile)
	}
	for _, p := range proxies {
		to, rest, _ := strings.Cut(p, " ")
		if block, _, _ := strings.Cut(rest, "https://"); !strings.Contains(block, "tls_trust_pool file /etc/platform-ca/ca.crt") {
			t.Errorf("%s: anybody could answer for it", to)
		}
	}
}
