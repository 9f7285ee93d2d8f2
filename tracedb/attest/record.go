package attest

import (
	"fmt"

	"github.com/druppie/druppie-up/tracedb"
)

// KeyringOf makes a keyring of keys as the log has them on record, for those who check an attestation
// anew with nothing else at hand. Who calls it leaves out what was retired, or not yet there.
func KeyringOf(keys []tracedb.Key) (*Keyring, error) {
	ring := &Keyring{}
	for _, k := range keys {
		f := KeyFile{Name: k.Name, Kinds: k.Kinds}
		if len(f.Kinds) == 0 {
			f.Kinds = []tracedb.Kind{"*"}
		}
		key, err := parseKey(f, []byte(k.PEM))
		if err != nil {
			return nil, fmt.Errorf("read key %q: %w", k.Name, err)
		}
		if key.Fingerprint != k.Fingerprint {
			return nil, fmt.Errorf("read key %q: the fingerprint is another key's", k.Name)
		}
		ring.keys = append(ring.keys, key)
	}
	return ring, nil
}
