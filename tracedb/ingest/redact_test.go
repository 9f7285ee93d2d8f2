package ingest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What looks like a secret here is put together from parts, so that no scanner of this repository
// takes the tests for a leak.
func TestRedact(t *testing.T) {
	hex40 := strings.Repeat("3f9a", 10)
	jwt := "eyJhbGciOiJFUzI1NiJ9" + ".eyJzdWIiOiJkcm9uZSJ9" + ".c2lnbmF0dXJlLWJ5dGVz"
	key := "-----BEGIN " + "PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END " + "PRIVATE KEY-----"
	tests := []struct{ name, give, want string }{
		{"private key", "before\n" + key + "\nafter", "before\n[redacted:private-key]\nafter"},
		{"RSA key", strings.ReplaceAll(key, " PRIVATE", " RSA PRIVATE"), "[redacted:private-key]"},
		{"cosign key", strings.ReplaceAll(key, " PRIVATE", " ENCRYPTED SIGSTORE PRIVATE"), "[redacted:private-key]"},
		{"PGP key", strings.ReplaceAll(strings.ReplaceAll(key, " PRIVATE", " PGP PRIVATE"), "KEY-", "KEY BLOCK-"), "[redacted:private-key]"},
		{"key cut short", key[:60], "[redacted:private-key]"},
		{"two keys", key + " and " + key, "[redacted:private-key] and [redacted:private-key]"},
		{"key on one line", strings.ReplaceAll(key, "\n", `\n`), "[redacted:private-key]"},
		{"signing key of a log", "PRIVATE" + "+KEY+druppie.io/trace/x+e5b8a1c2+AQIDBAUGBwg=", "[redacted:private-key]"},
		{"age key", "AGE-SECRET-" + "KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "[redacted:private-key]"},

		{"bearer", "curl -H 'Authorization: Bearer " + hex40 + "' https://gitea", "curl -H 'Authorization: [redacted:authorization]' https://gitea"},
		{"bearer alone", "sent Bearer abcDEF123456789 to it", "sent Bearer [redacted:bearer] to it"},
		{"basic", "Basic " + "ZHJ1cHBpZTpob25kMTIz", "Basic [redacted:basic]"},
		{"Gitea's header", "Authorization: token " + hex40, "Authorization: [redacted:authorization]"},
		{"header in JSON", `{"Authorization": "Bearer x.y.z"}`, `{"Authorization": "[redacted:authorization]"}`},
		{"cookie", "Cookie: i_like_gitea=abc; lang=nl\nHost: x", "Cookie: [redacted:cookie]\nHost: x"},
		{"JWT", "got " + jwt + " back", "got [redacted:jwt] back"},

		{"GitHub", "gh" + "p_" + strings.Repeat("aB3", 12), "[redacted:github-token]"},
		{"GitHub fine-grained", "x github" + "_pat_" + strings.Repeat("aB3_", 10), "x [redacted:github-token]"},
		{"GitLab", "gl" + "pat-" + strings.Repeat("aB3", 7), "[redacted:gitlab-token]"},
		{"Gitea's OAuth secret", "gt" + "o_" + strings.Repeat("abcdefgh234567", 4), "[redacted:gitea-secret]"},
		{"AWS", "AK" + "IAIOSFODNN7EXAMPLE in a log", "[redacted:aws-key] in a log"},
		{"Slack", "xo" + "xb-123456789012-abcdef", "[redacted:slack-token]"},
		{"Google", "AI" + "za" + strings.Repeat("Sy4bC", 7), "[redacted:google-key]"},
		{"npm", "np" + "m_" + strings.Repeat("aB3", 12), "[redacted:npm-token]"},
		{"API key", "sk" + "-proj-" + strings.Repeat("aB3", 12), "[redacted:api-key]"},

		{"password in a URL", "clone https://git:hond123@gitea.local/x.git failed", "clone https://git:[redacted:password]@gitea.local/x.git failed"},
		{"password without a user", "redis://:geheim@cache:6379/0", "redis://:[redacted:password]@cache:6379/0"},
		{"token in a URL", "https://" + hex40 + "@gitea.local/x.git", "https://[redacted:token]@gitea.local/x.git"},
		{"two URLs", "http://a:b@c http://d:e@f", "http://a:[redacted:password]@c http://d:[redacted:password]@f"},

		{"password=", "login with password=hond&user=piet", "login with password=[redacted:secret]&user=piet"},
		{"in capitals, with a prefix", "DB_PASSWORD=hond", "DB_PASSWORD=[redacted:secret]"},
		{"YAML", "user: piet\npassword: hond-12!\nhost: x", "user: piet\npassword: [redacted:secret]\nhost: x"},
		{"JSON", `{"client_secret":"a1b2c3","x":1}`, `{"client_secret":"[redacted:secret]","x":1}`},
		{"JSON in JSON", `{\"token\":\"a1b2c3\"}`, `{\"token\":\"[redacted:secret]\"}`},
		{"Go", `apiKey := "k3y"`, `apiKey := "[redacted:secret]"`},
		{"numbers are passwords, too", "password=123456", "password=[redacted:secret]"},
		{"Gitea's token, named", "GITEA_TOKEN=" + hex40, "GITEA_TOKEN=[redacted:secret]"},
		{"argument", "psql --password hond1 -h x", "psql --password [redacted:secret] -h x"},
		{"argument with =", "tool --api-key=abc", "tool --api-key=[redacted:secret]"},
		{"two on a line", "password=a1, token=b2", "password=[redacted:secret], token=[redacted:secret]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, found := Redact(tt.give)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Redact(%q) (-want +got):\n%s", tt.give, diff)
			}
			if len(found) == 0 {
				t.Error("found nothing")
			}
			if again, found := Redact(got); again != got || len(found) > 0 {
				t.Errorf("again: %q, found %q", again, found)
			}
		})
	}
}

// publicKey is a public key as PEM.
func publicKey(t *testing.T) string {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestRedactLeaves holds what evidence is full of and must stay as it is.
func TestRedactLeaves(t *testing.T) {
	hex40, hex64 := strings.Repeat("3f9a", 10), strings.Repeat("3f9a", 16)
	tests := []struct{ name, give string }{
		{"digest", "sha256:" + hex64},
		{"image", "registry.foundry.svc.cluster.local:5000/druppie/drone@sha256:" + hex64},
		{"OCI URL", "oci://registry.foundry.svc.cluster.local:5000/druppie/drone@sha256:" + hex64},
		{"commit", hex40},
		{"commit in a sentence", "reverts commit " + hex40 + ", see drone#12"},
		{"commit, named", "commit=" + hex40},
		{"algorithm id", "alg-7f3k2m9q"},
		{"UUID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
		{"fingerprint", "SHA256:" + hex64},
		{"public key", publicKey(t)},
		{"certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"},
		{"verifier key", "druppie.io/trace/x+e5b8a1c2+AQIDBAUGBwg="},
		{"base64 hash", "h1:Jv5MbsGTuSRlFSNLnXvCkVM8mDzGqIYHm7bWrDUl2Ks="},
		{"SSH remote", "git@gitea.local:druppie/drone.git"},
		{"URL", "https://gitea.druppie.localhost:8443/druppie/drone/pulls/12"},
		{"URL with a port and a user in the path", "https://host:8443/users/@piet"},
		{"e-mail", "mail to: piet@example.org"},
		{"prose about tokens", "refuse an expired token: it must be renewed"},
		{"prose about passwords", "the password: at least twelve characters"},
		{"prose about secrets", "secrets never enter the log"},
		{"prose about bearer", "Bearer authentication is required"},
		{"prose about basic", "basic authentication, basic auth"},
		{"prose about authorization", "authorization: the role was missing"},
		{"name of a Secret", `secret "cosign-key" not found`},
		{"a Secret's reference", "secretName: gitea-token-1\nsecretKeyRef: x1"},
		{"counted tokens", "tokens: 128000, max_tokens=4096"},
		{"variable", "password=$DB_PASSWORD token=${TOKEN} secret={{ .Secret }}"},
		{"masked", "password=**** token=xxxx secret=<none>"},
		{"required", "password=required token=true"},
		{"digest of a secret", "secret=sha256:" + hex64},
		{"scikit", "depends on sk-learn-contrib-lightning-extra"},
		{"package", "pkg:deb/debian/libsecret-1-0@0.20.5-3?arch=amd64&distro=debian-12"},
		{"pod", "drones/drone-service-7d9c5b8f64-x2x7k"},
		{"SQL", "'; DROP TABLE records; --"},
		{"HTML", "<script>alert(1)</script>"},
		{"nothing", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, found := Redact(tt.give); got != tt.give || len(found) > 0 {
				t.Errorf("Redact(%q) = %q, found %q", tt.give, got, found)
			}
			if what := Secret(tt.give); what != "" {
				t.Errorf("Secret(%q) = %q", tt.give, what)
			}
		})
	}
}

// TestSecret holds what isn't enough to refuse a signed envelope, and what is.
func TestSecret(t *testing.T) {
	tests := []struct{ name, give, want string }{
		{"a word after a name", "token=abc", ""},
		{"a word of prose", "CVE-2026-1: when password=admin is set, everybody gets in", ""},
		{"a random word", "password=h0nd-in-de-pot", "secret"},
		{"key", "-----BEGIN " + "PRIVATE KEY-----", "private-key"},
		{"password in a URL", "git+https://ci:h0nd@gitea/x.git", "password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Secret(tt.give); got != tt.want {
				t.Errorf("Secret(%q) = %q, want %q", tt.give, got, tt.want)
			}
		})
	}
}

// FuzzRedact holds that redacting ends, can be repeated, and leaves nothing that it would find.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{
		"password=hond", "https://a:b@c", "-----BEGIN " + "PRIVATE KEY-----", "Authorization: Bearer x1y2z3a4b5", "token: \\\"a1b2c3\\\"",
		"Cookie: a=b", "--token x1 --token [redacted:secret]", "password=[redacted:secret", "[redacted:", "basic dXNlcjpwYXNz", "secret=redacted:x", "\xff\xfepassword=\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, _ := Redact(s)
		twice, found := Redact(once)
		if once != twice || len(found) > 0 {
			t.Errorf("Redact(%q) = %q, then %q (%q)", s, once, twice, found)
		}
	})
}

func BenchmarkRedact(b *testing.B) {
	text := strings.Repeat("Fixes the landing in druppie/drone at 3f9a3f9a, reviewed by piet; see https://gitea.druppie.localhost:8443/druppie/drone/pulls/12. ", 16)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Redact(text)
	}
}
