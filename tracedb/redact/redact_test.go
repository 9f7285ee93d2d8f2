package redact

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What looks like a secret here is put together from parts, so that no scanner of this repository
// takes the tests for a leak.
func TestRedact(t *testing.T) {
	hex40 := strings.Repeat("3f9a", 10)
	jwt := "eyJhbGciOiJFUzI1NiJ9" + ".eyJzdWIiOiJkcm9uZSJ9" + ".c2lnbmF0dXJlLWJ5dGVz"
	jwe := "eyJhbGciOiJSU0EtT0FFUCJ9" + ".T0tBV29kLTIw.NDhfYmFzZTY0.NXMtZGF0YQ.dGFnLWJ5dGVz"
	basic := "ZHJ1cHBpZTpo" + "b25kMTIz"
	key := "-----BEGIN " + "PRIVATE KEY-----\n" + strings.Repeat("MC4CAQAwBQYDK2VwBCIEIA", 3) + "\n-----END " + "PRIVATE KEY-----"
	tests := []struct{ name, give, want string }{
		{"private key", "before\n" + key + "\nafter", "before\n[redacted:private-key]\nafter"},
		{"RSA key", strings.ReplaceAll(key, " PRIVATE", " RSA PRIVATE"), "[redacted:private-key]"},
		{"cosign key", strings.ReplaceAll(key, " PRIVATE", " ENCRYPTED SIGSTORE PRIVATE"), "[redacted:private-key]"},
		{"PGP key", strings.ReplaceAll(strings.ReplaceAll(key, " PRIVATE", " PGP PRIVATE"), "KEY-", "KEY BLOCK-"), "[redacted:private-key]"},
		{"key cut short", key[:60], "[redacted:private-key]"},
		{"key in base64", "client-key-data: " + base64.StdEncoding.EncodeToString([]byte(key)) + "\n", "client-key-data: [redacted:private-key]\n"},
		{"key in base64 of a Secret", `{"tls.key":"` + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(key, " PRIVATE", " RSA PRIVATE"))) + `"}`, `{"tls.key":"[redacted:private-key]"}`},
		{"key in base64 on lines", "data:\n  " + wrap(base64.StdEncoding.EncodeToString([]byte(key)), 64, "\n  ") + "\nkind: Secret", "data:\n  [redacted:private-key]\nkind: Secret"},
		{"long key in base64 on lines", "data:\n  " + wrap(base64.StdEncoding.EncodeToString([]byte(strings.Replace(key, "\n", "\n"+strings.Repeat("MC4CAQAwBQYDK2VwBCIEIA\n", 40), 1))), 66, "\n  ") + "\nkind: Secret", "data:\n  [redacted:private-key]\nkind: Secret"},
		{"two keys", key + " and " + key, "[redacted:private-key] and [redacted:private-key]"},
		{"key on one line", strings.ReplaceAll(key, "\n", `\n`), "[redacted:private-key]"},
		{"signing key of a log", "PRIVATE" + "+KEY+druppie.io/trace/x+e5b8a1c2+AQIDBAUGBwg=", "[redacted:private-key]"},
		{"age key", "AGE-SECRET-" + "KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "[redacted:private-key]"},

		{"bearer", "curl -H 'Authorization: Bearer " + hex40 + "' https://gitea", "curl -H 'Authorization: [redacted:authorization]' https://gitea"},
		{"bearer alone", "sent Bearer abcDEF123456789 to it", "sent Bearer [redacted:bearer] to it"},
		{"basic", "Basic " + "ZHJ1cHBpZTpob25kMTIz", "Basic [redacted:basic]"},
		{"docker's configuration", `{"auths":{"registry:5000":{"auth":"` + basic + `"}}}`, `{"auths":{"registry:5000":{"auth":"[redacted:basic]"}}}`},
		{"npm's configuration", "//registry:5000/:_auth=" + basic, "//registry:5000/:_auth=[redacted:basic]"},
		{"token of letters in a header", "Authorization: " + strings.Repeat("abcdefghij", 4) + " was sent", "Authorization: [redacted:authorization] was sent"},
		{"AWS's signature", "Authorization: AWS4-HMAC-SHA256 Credential=AK" + "IAIOSFODNN7EXAMPLE/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + hex40 + " failed", "Authorization: AWS4-HMAC-SHA256 [redacted:authorization] failed"},
		{"AWS's signed address", "https://s3/x?X-Amz-Date=20260101&X-Amz-Signature=" + hex40, "https://s3/x?X-Amz-Date=20260101&X-Amz-Signature=[redacted:secret]"},
		{"curl", "curl -u piet:hond12 https://gitea", "curl -u piet:[redacted:password] https://gitea"},
		{"curl, silently", "curl -fsSu 'piet:ho;nd' https://gitea", "curl -fsSu 'piet:[redacted:password]' https://gitea"},
		{"curl, in full", "curl -k \\\n  --user=piet:123456 https://gitea", "curl -k \\\n  --user=piet:[redacted:password] https://gitea"},
		{"Gitea's header", "Authorization: token " + hex40, "Authorization: [redacted:authorization]"},
		{"header in JSON", `{"Authorization": "Bearer x.y.z"}`, `{"Authorization": "[redacted:authorization]"}`},
		{"cookie", "Cookie: i_like_gitea=abc; lang=nl\nHost: x", "Cookie: [redacted:cookie]\nHost: x"},
		{"JWT", "got " + jwt + " back", "got [redacted:jwt] back"},

		{"JWE", "got " + jwe + ". Then", "got [redacted:jwt]. Then"},
		{"JWT of a text", "eyJhbGciOiJFUzI1NiJ9" + ".aG9uZA.c2lnbmF0dXJlLWJ5dGVz", "[redacted:jwt]"},
		{"JWT longer than a pattern looks", strings.Replace(jwt, ".c2ln", strings.Repeat("A", 2*reach)+".c2ln", 1) + " x", "[redacted:jwt] x"},

		{"GitHub", "gh" + "p_" + strings.Repeat("aB3", 12), "[redacted:github-token]"},
		{"GitHub fine-grained", "x github" + "_pat_" + strings.Repeat("aB3_", 10), "x [redacted:github-token]"},
		{"GitLab", "gl" + "pat-" + strings.Repeat("aB3", 7), "[redacted:gitlab-token]"},
		{"GitLab trigger", "gl" + "ptt-" + hex40, "[redacted:gitlab-token]"},
		{"GitLab job", "gl" + "cbt-64_" + strings.Repeat("aB3", 7), "[redacted:gitlab-token]"},
		{"after an escaped line break", `line\ngl` + "pat-" + strings.Repeat("aB3", 7), `line\n[redacted:gitlab-token]`},
		{"Gitea's OAuth secret", "gt" + "o_" + strings.Repeat("abcdefgh234567", 4), "[redacted:gitea-secret]"},
		{"AWS", "AK" + "IAIOSFODNN7EXAMPLE in a log", "[redacted:aws-key] in a log"},
		{"Slack", "xo" + "xb-123456789012-abcdef", "[redacted:slack-token]"},
		{"Google", "AI" + "za" + strings.Repeat("Sy4bC", 7), "[redacted:google-key]"},
		{"npm", "np" + "m_" + strings.Repeat("aB3", 12), "[redacted:npm-token]"},
		{"API key", "sk" + "-proj-" + strings.Repeat("aB3", 12), "[redacted:api-key]"},

		{"API key in small letters", "sk" + "-" + strings.Repeat("a3f9", 8), "[redacted:api-key]"},
		{"Hugging Face", "hf" + "_" + strings.Repeat("aBcDe", 7), "[redacted:api-key]"},
		{"Stripe", "sk" + "_live_" + strings.Repeat("aB3", 8), "[redacted:api-key]"},
		{"SendGrid", "SG" + "." + strings.Repeat("aB3", 7) + "." + strings.Repeat("cD4", 14), "[redacted:api-key]"},
		{"PyPI", "py" + "pi-AgEIcHlwaS5vcmc" + strings.Repeat("aB3", 9), "[redacted:pypi-token]"},
		{"Vault", "hv" + "s." + strings.Repeat("aB3", 9), "[redacted:vault-token]"},
		{"Google's OAuth", "ya" + "29." + strings.Repeat("aB3", 9), "[redacted:google-token]"},

		{"password in a URL", "clone https://git:hond123@gitea.local/x.git failed", "clone https://git:[redacted:password]@gitea.local/x.git failed"},
		{"password without a user", "redis://:geheim@cache:6379/0", "redis://:[redacted:password]@cache:6379/0"},
		{"token in a URL", "https://" + hex40 + "@gitea.local/x.git", "https://[redacted:token]@gitea.local/x.git"},
		{"@ in the password", "postgres://user:p@ss9word@db/x", "postgres://user:[redacted:password]@db/x"},
		{"slash in the password", "https://user:pa/ss@host/x", "https://user:[redacted:password]@host/x"},
		{"digits in the password", "https://user:1234@host:8443/x", "https://user:[redacted:password]@host:8443/x"},
		{"mail address after a URL", "https://a:b@c/d, mail piet@example.org", "https://a:[redacted:password]@c/d, mail piet@example.org"},
		{"mail address in a URL", "https://a:b@c/d?to=piet@example.org", "https://a:[redacted:password]@c/d?to=piet@example.org"},
		{"URLs in a list", "amqp://a:b@c,amqp://d:e@f/x", "amqp://a:[redacted:password]@c,amqp://d:[redacted:password]@f/x"},
		{"two URLs", "http://a:b@c http://d:e@f", "http://a:[redacted:password]@c http://d:[redacted:password]@f"},

		{"password=", "login with password=hond&user=piet", "login with password=[redacted:secret]&user=piet"},
		{"in capitals, with a prefix", "DB_PASSWORD=hond", "DB_PASSWORD=[redacted:secret]"},
		{"YAML", "user: piet\npassword: hond-12!\nhost: x", "user: piet\npassword: [redacted:secret]\nhost: x"},
		{"JSON", `{"client_secret":"a1b2c3","x":1}`, `{"client_secret":"[redacted:secret]","x":1}`},
		{"JSON in JSON", `{\"token\":\"a1b2c3\"}`, `{\"token\":\"[redacted:secret]\"}`},
		{"Go", `apiKey := "k3y"`, `apiKey := "[redacted:secret]"`},
		{"numbers are passwords, too", "password=123456", "password=[redacted:secret]"},
		{"Gitea's token, named", "GITEA_TOKEN=" + hex40, "GITEA_TOKEN=[redacted:secret]"},
		{"Django", "SECRET_KEY=hond DJANGO_SECRET_KEY: 'hond' secretKey: hond-12!", "SECRET_KEY=[redacted:secret] DJANGO_SECRET_KEY: '[redacted:secret]' secretKey: [redacted:secret]"},
		{"Rails", "SECRET_KEY_BASE=" + hex40, "SECRET_KEY_BASE=[redacted:secret]"},
		{"AWS's, named", "AWS_SECRET_KEY=ab/cd+ef", "AWS_SECRET_KEY=[redacted:secret]"},
		{"Azure", "AccountName=x;AccountKey=ab+cd/ef==;EndpointSuffix=y", "AccountName=x;AccountKey=[redacted:secret];EndpointSuffix=y"},
		{"pass", "DB_PASS=hond smtpPass=kat user=x pass=hond12", "DB_PASS=[redacted:secret] smtpPass=[redacted:secret] user=x pass=[redacted:secret]"},
		{"Dutch", "wachtwoord=hond, Wachtwoord: hond-12!", "wachtwoord=[redacted:secret], Wachtwoord: [redacted:secret]"},
		{"letters in JSON", `{"password": "geheim", "token":"abcdefghijkl"}`, `{"password": "[redacted:secret]", "token":"[redacted:secret]"}`},
		{"words in quotes", `{"passphrase":"correct horse \"battery\" staple","x":1}`, `{"passphrase":"[redacted:secret]","x":1}`},
		{"words in JSON in JSON", `{\"password\":\"correct horse\",\"x\":1}`, `{\"password\":\"[redacted:secret]\",\"x\":1}`},
		{"quotes cut off", `{"password":"geheim`, `{"password":"[redacted:secret]`},
		{"letters in YAML", "db:\n  password: hunter\n  host: x", "db:\n  password: [redacted:secret]\n  host: x"},
		{"argument in quotes", "psql --password 'hond kat' -h x", "psql --password '[redacted:secret]' -h x"},
		{"value longer than a pattern looks", "token=" + strings.Repeat("ab12", reach) + " x", "token=[redacted:secret] x"},
		{"argument", "psql --password hond1 -h x", "psql --password [redacted:secret] -h x"},
		{"argument with =", "tool --api-key=abc", "tool --api-key=[redacted:secret]"},
		{"two on a line", "password=a1, token=b2", "password=[redacted:secret], token=[redacted:secret]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, found := Text(tt.give)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Text(%q) (-want +got):\n%s", tt.give, diff)
			}
			if len(found) == 0 {
				t.Error("found nothing")
			}
			if again, found := Text(got); again != got || len(found) > 0 {
				t.Errorf("again: %q, found %q", again, found)
			}
		})
	}
}

// wrap breaks a text into lines of n.
func wrap(s string, n int, newline string) string {
	var lines []string
	for line := range slices.Chunk([]byte(s), n) {
		lines = append(lines, string(line))
	}
	return strings.Join(lines, newline)
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
		{"image with a secret's name", "registry.foundry.svc.cluster.local:5000/druppie/api-token:v1.2.3@sha256:" + hex64},
		{"image by tag", "docker.io/hashicorp/vault-secret:1.2.3-alpine"},
		{"image of a name alone", "pulled api-token:v1.2.3@sha256:" + hex64 + " and vault-secret:1.2.3"},
		{"image by tag and digest as an address", "docker://alpine:3.20@sha256:" + hex64},
		{"CPE", "cpe:2.3:a:auth0:jsonwebtoken:9.0.2:*:*:*:*:node.js:*:*"},
		{"old CPE", "cpe:/a:auth0:jsonwebtoken:9.0.2b1"},
		{"package URL", "pkg:npm/jsonwebtoken@9.0.2 pkg:golang/github.com/hashicorp/vault-secret@v1.2.3?type=module#token"},
		{"coordinates", "org.springframework:spring-oauth2-token:5.7.1-SNAPSHOT"},
		{"dependencies", `"jsonwebtoken": "^9.0.2", detect-secrets==1.5.0rc1`},
		{"SSH remote", "git@gitea.local:druppie/drone.git"},
		{"URL", "https://gitea.druppie.localhost:8443/druppie/drone/pulls/12"},
		{"URL with a port and a user in the path", "https://host:8443/users/@piet"},
		{"URL with a port and a mail address", "https://host:8443?to=piet@example.org https://host:8443, piet@example.org (http://host:80)(mailto:piet@example.org)"},
		{"PyPI package", "pypi-attestations-verifier-plugin"},
		{"e-mail", "mail to: piet@example.org"},
		{"prose about tokens", "refuse an expired token: it must be renewed"},
		{"prose about passwords", "the password: at least twelve characters"},
		{"prose about secrets", "secrets never enter the log"},
		{"prose about passwords in Dutch", "wachtwoordbeleid: minimaal 12-16 tekens; het wachtwoord: 's nachts gewijzigd; wachtwoord=nee"},
		{"what is said of a secret", "token: expired\npassword: incorrect\nwachtwoord: verplicht"},
		{"what is said of a secret in JSON", `{"token":"invalid","password":"required"}`},
		{"errors", "get token: oauth2: cannot fetch, secret: x509: unknown authority"},
		{"counted tests", "pass=128 fail=0, pass: 120/120"},
		{"bypass", "bypass=on compass=north1"},
		{"tests", "test_password_reset: ok, tests/test_auth.py::test_token::case1 PASSED, auth::token::verifies_es256, TestToken/valid_token:_expires_2026"},
		{"prose about bearer", "Bearer authentication is required"},
		{"prose about basic", "basic authentication, basic auth"},
		{"prose about authorization", "authorization: the role was missing"},
		{"long Dutch word", "authorization: gebruiksverantwoordelijke"},
		{"name of a Secret", `secret "cosign-key" not found; secrets "drone-token-1" is forbidden: User "system:serviceaccount:drones:x1" cannot get resource "secrets"`},
		{"key in a Secret", "Error: couldn't find key DB_PASSWORD in Secret drones/db-1, unmounted volumes=[db-secret-1]"},
		{"certificate in base64", "tls.crt: " + base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ\n-----END CERTIFICATE-----\n"))},
		{"author", `"author": "aW50ZXJu", auth: required`},
		{"curl without a password", "curl -u piet -H 'a: b' --user-agent=x:y https://host:8443 && docker build -u x"},
		{"curl with a variable", "curl -u \"$USER:$PASSWORD\" -u piet:<password>"},
		{"a Secret's reference", "secretName: gitea-token-1\nsecretKeyRef: x1"},
		{"counted tokens", "tokens: 128000, max_tokens=4096"},
		{"compared with nothing", `if token == "" { return }`},
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
			if got, found := Text(tt.give); got != tt.give || len(found) > 0 {
				t.Errorf("Text(%q) = %q, found %q", tt.give, got, found)
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
		{"a JSON value", `{"password": "geheim"}`, ""},
		{"words after a name", `Possible hardcoded password: "at least 12 characters"`, ""},
		{"a random word in quotes", `{"DJANGO_SECRET_KEY": "h0nd-in-de-pot"}`, "secret"},
		{"docker's configuration", `"auth":"` + "ZHJ1cHBpZTpo" + `b25kMTIz"`, "basic"},
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

// TestSecretIn looks into documents that are signed: refusing one keeps what was built from being released.
func TestSecretIn(t *testing.T) {
	tests := []struct{ name, give, path string }{
		{"under its name", `{"config":{"db_password":"h0nd-in-de-pot"}}`, "config.db_password"},
		{"version of what is named so", `{"packages":{"jsonwebtoken":"9.0.2-beta.1"}}`, ""},
		{"component", `{"components":[{"name":"jsonwebtoken","cpe":"cpe:2.3:a:auth0:jsonwebtoken:9.0.2:*:*:*:*:node.js:*:*"}]}`, ""},
		{"base image", `{"resolvedDependencies":[{"uri":"docker.io/hashicorp/vault-secret:1.2.3-alpine"}]}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if path, what := SecretIn([]byte(tt.give)); path != tt.path {
				t.Errorf("SecretIn(%s) = %q, %q, want %q", tt.give, path, what, tt.path)
			}
		})
	}
}

// FuzzRedact holds that redacting ends, can be repeated, and leaves nothing that it would find.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{
		"password=hond", "https://a:b@c", "-----BEGIN " + "PRIVATE KEY-----", "Authorization: Bearer x1y2z3a4b5", "token: \\\"a1b2c3\\\"",
		"Cookie: a=b", "--token x1 --token [redacted:secret]", "password=[redacted:secret", "[redacted:", "basic dXNlcjpwYXNz", "secret=redacted:x", "\xff\xfepassword=\xff",
		"postgres://u:p@ss@db/x://y:z@", "curl -u a:b", "AWS4-HMAC-SHA256 a=b, c=d", "{\"pass\": \"a b\"}", "cpe:2.3:a:token:x1y2z3", "a/token:x1y2z3", "password: \"a\npassword: b",
		"auth: dXNlcjpwYXNz", "eyJhbGciOiJ.x.12345678.y.z", "sk-a3f9a3f9a3f9a3f9a3f9", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, _ := Text(s)
		twice, found := Text(once)
		if once != twice || len(found) > 0 {
			t.Errorf("Text(%q) = %q, then %q (%q)", s, once, twice, found)
		}
	})
}

// BenchmarkRedactBeginnings reads texts that begin secrets all the time and never end them: a text twice
// as long may take twice the time, not more.
func BenchmarkRedactBeginnings(b *testing.B) {
	for _, beginning := range []string{"token", "password=/", "eyJ", "://a:", "authorization=", "cookie:", "curl -u ", "-----BEGIN PRIVATE KEY-----", "LS0tLS1CRUdJTi/"} {
		for _, n := range []int{32 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("%.10s/%d", beginning, n), func(b *testing.B) {
				text := strings.Repeat(beginning, n/len(beginning)) + "@"
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					Text(text)
				}
			})
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	text := strings.Repeat("Fixes the landing in druppie/drone at 3f9a3f9a, reviewed by piet; see https://gitea.druppie.localhost:8443/druppie/drone/pulls/12. ", 16)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		Text(text)
	}
}
