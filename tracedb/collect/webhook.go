package collect

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/druppie/druppie-up/tracedb"
	"github.com/druppie/druppie-up/tracedb/wire"
)

// maxEvent is the most bytes that a webhook may have.
const maxEvent = 1 << 20

// readEvent reads the body of a signed webhook. headers are those that may carry its HMAC-SHA256 in
// hex, after prefix; there must be one, and all that are there must be right. The body is read no
// further than maxEvent, and nothing of it is looked at before its signature is.
func readEvent(w http.ResponseWriter, r *http.Request, secret []byte, headers ...signature) ([]byte, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, tracedb.ErrMethod.Says("an event is sent with POST, not %s", tracedb.Clip(r.Method, 20))
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, errContentType
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, tracedb.ErrTooLarge.Says("an event has at most %d bytes", maxEvent)
		}
		return nil, tracedb.ErrInvalid.Says("the body ended too early")
	}
	if err := verify(r.Header, secret, body, headers); err != nil {
		return nil, err
	}
	return body, nil
}

// signature is a header that carries an HMAC-SHA256.
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

// answer ends a webhook. Who sends one looks at the status alone; 202 is what each of them takes for
// well done.
func answer(w http.ResponseWriter, err error) {
	if err != nil {
		wire.Error(w, err)
		return
	}
	wire.JSON(w, http.StatusAccepted, struct{}{})
}
