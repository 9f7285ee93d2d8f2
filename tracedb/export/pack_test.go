package export

import "encoding/json"

// Pack packs files as an archive is packed, so that tests can forge one that only its contents betray.
func Pack(all map[string][]byte) ([]byte, error) { return pack(all) }

// List writes the manifest anew, as a version with those texts would have.
func List(all map[string][]byte, texts int) {
	var m manifest
	if err := json.Unmarshal(all[nameManifest], &m); err != nil {
		panic(err)
	}
	again := newManifest(all, m.Subject, m.Records, m.Truncated)
	again.Texts = texts
	all[nameManifest] = encode(again)
}
