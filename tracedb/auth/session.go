package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/druppie/druppie-up/tracedb"
)

const (
	// SessionLife is how long a login lasts: a working day.
	SessionLife = 8 * time.Hour
	// __Host- makes browsers refuse the cookie unless it is Secure, for this host alone and for all of
	// its paths (RFC 6265bis, section 4.1.3.2), so that no sister name under the platform's domain can
	// plant one.
	sessionCookie = "__Host-tracedb"
	loginCookie   = "__Host-tracedb-login"

	minKey = 32 // bytes of the session key's file
)

// Sessions keeps people logged in by an encrypted cookie: the service stores nothing, and remembers which
// sessions were ended before their time. What a person may do isn't in the cookie but looked up in the
// configuration at every request.
type Sessions struct {
	key      *File
	auditors []string
	now      func() time.Time
	ended    *replayCache
}

// NewSessions encrypts with the key in the file, which has at least 32 random bytes in whatever form.
// Auditors are the names of Gitea users.
func NewSessions(key *File, auditors []string, now func() time.Time) (*Sessions, error) {
	secret, err := key.Value()
	if err != nil {
		return nil, err
	}
	if len(secret) < minKey {
		return nil, fmt.Errorf("%s: %d bytes are too few for a key: write at least %d random ones", key.name, len(secret), minKey)
	}
	if now == nil {
		now = time.Now
	}
	return &Sessions{key: key, auditors: slices.Clone(auditors), now: now, ended: newReplayCache(now)}, nil
}

// session is what the cookie says.
type session struct {
	ID    string    `json:"id"`
	User  string    `json:"user"`
	Until time.Time `json:"until"`
}

// person is a Gitea user as an identity of ours.
func (s *Sessions) person(user string) tracedb.Identity {
	id := tracedb.Identity{Name: "gitea:" + user}
	// Gitea takes names that differ only in case for one and the same.
	if slices.ContainsFunc(s.auditors, func(a string) bool { return strings.EqualFold(a, user) }) {
		id.Roles = []tracedb.Role{tracedb.RoleAuditor}
	}
	return id
}

// identity is the person whose session the request carries. A cookie without one (any more) is
// removed.
func (s *Sessions) identity(w http.ResponseWriter, r *http.Request) tracedb.Identity {
	if _, err := r.Cookie(sessionCookie); err != nil {
		return tracedb.Identity{}
	}
	got, ok := s.read(r)
	if !ok {
		drop(w, sessionCookie)
		return tracedb.Identity{}
	}
	return s.person(got.User)
}

// read is the session that the request carries, false if there is none that counts.
func (s *Sessions) read(r *http.Request) (session, bool) {
	var got session
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || s.decrypt(sessionCookie, cookie.Value, &got) != nil {
		return session{}, false
	}
	return got, got.ID != "" && got.User != "" && s.current(got.Until, SessionLife) && !s.ended.has(got.ID)
}

// end ends the session that the request carries, if it carries one.
func (s *Sessions) end(r *http.Request) error {
	got, ok := s.read(r)
	if !ok {
		return nil
	}
	_, err := s.ended.add(got.ID, got.Until)
	return err
}

// current says whether until is ahead, and not further than life: after a clock that ran ahead was
// put right, what was made before lasts no longer than it should.
func (s *Sessions) current(until time.Time, life time.Duration) bool {
	left := until.Sub(s.now())
	return left > 0 && left <= life
}

func (s *Sessions) begin(w http.ResponseWriter, user string) error {
	value, err := s.encrypt(sessionCookie, session{ID: rand.Text(), User: user, Until: s.now().Add(SessionLife)})
	if err != nil {
		return err
	}
	set(w, sessionCookie, value, SessionLife)
	return nil
}

func set(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

func drop(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

var errCookie = errors.New("the cookie wasn't encrypted here")

// aead is AES-256-GCM under a key derived from the file's content (RFC 5869).
func (s *Sessions) aead() (cipher.AEAD, error) {
	secret, err := s.key.Value()
	if err != nil {
		return nil, err
	}
	if len(secret) < minKey {
		return nil, fmt.Errorf("%s: too short for a key", s.key.name)
	}
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "tracedb cookies v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// encrypt encrypts v for one purpose: what was encrypted as one cookie can't be decrypted as another.
func (s *Sessions) encrypt(purpose string, v any) (string, error) {
	aead, err := s.aead()
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, raw, []byte(purpose))), nil
}

func (s *Sessions) decrypt(purpose, value string, v any) error {
	aead, err := s.aead()
	if err != nil {
		return err
	}
	encrypted, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return errCookie
	}
	raw, err := aead.Open(nil, nil, encrypted, []byte(purpose))
	if err != nil {
		return errCookie
	}
	return json.Unmarshal(raw, v)
}
