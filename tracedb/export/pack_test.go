package export

// Pack packs files as an archive is packed, so that tests can forge one that only its contents betray.
func Pack(all map[string][]byte) ([]byte, error) { return pack(all) }
