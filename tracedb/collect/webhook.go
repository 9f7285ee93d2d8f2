package collect

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// maxEvent is the most bytes that a webhook may have.
const maxEvent = 1 << 20

// Webhook takes the signed events of one sender. It answers 202 when the log has what was reported or there is
// nothing to record, and 4xx where nothing else could be answered the next time.
type Webhook struct {
	*recorder
	secret     []byte
	signatures []signature
	// drafts are the records of an event; none for what isn't recorded.
	drafts func(ctx context.Context, header http.Header, body []byte) ([]tracedb.Draft, error)
}

// ServeHTTP takes one event.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := h.body(w, r)
	if err != nil {
		wire.Error(w, err)
		return
	}
	drafts, err := h.drafts(r.Context(), r.Header, body)
	if err == nil {
		err = h.tryPut(r.Context(), drafts)
	}
	if err != nil {
		if !permanent(err) {
			h.health.failing("webhook", h.now(), err)
		}
		wire.Error(w, err)
		return
	}
	h.health.ok("webhook", h.now())
	// Who sends one looks at the status alone; 202 is what each of them takes for success.
	wire.JSON(w, http.StatusAccepted, struct{}{})
}

// body reads the body of a signed webhook. One of the headers of signatures must be there, and all that are
// there must be right. The body is read no further than maxEvent, and nothing of it is looked at before its
// signature is.
func (h *Webhook) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, tracedb.ErrMethod.Says("an event is sent with POST, not %s", tracedb.Clip(r.Method, 20))
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, errContentType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		return nil, wire.BodyError(err)
	}
	return body, verify(r.Header, h.secret, body, h.signatures)
}

// decode reads an event. Gitea adds fields with every release, so unknown ones are no error.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return tracedb.ErrInvalid.Says("the event isn't the JSON it should be: %s", tracedb.Clip(err.Error(), 200))
	}
	return nil
}

// signature is a header that carries an HMAC-SHA256 in hex, after prefix.
type signature struct{ header, prefix string }

func verify(header http.Header, secret, body []byte, headers []signature) error {
	// hmac takes an empty key, and then anybody could sign.
	if len(secret) == 0 {
		return tracedb.ErrUnavailable.Says("no secret is configured for these events")
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	want := mac.Sum(nil)
	signed, right := 0, 0
	for _, h := range headers {
		for _, value := range header.Values(h.header) {
			signed++
			text, ok := strings.CutPrefix(value, h.prefix)
			got, err := hex.DecodeString(text)
			if ok && err == nil && hmac.Equal(got, want) {
				right++
			}
		}
	}
	if signed == 0 {
		return errUnsigned
	}
	if right != signed {
		return errBadSignature
	}
	return nil
}

var (
	errUnsigned     = tracedb.ErrUnauthenticated.Says("the event isn't signed").WithHint("send its HMAC-SHA256 with the secret that is shared with this service")
	errBadSignature = tracedb.ErrUnauthenticated.Says("the event isn't signed with the secret that is shared with this service")
	errContentType  = &tracedb.Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Message: "an event is application/json"}
)
