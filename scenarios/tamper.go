package scenarios

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"slices"
)

// runTamper copies an archive with one bit changed, in the middle of one of its
// files, and nothing else: what somebody does who edits a record. An export
// stores its files as they are.
func runTamper(c *call) error {
	archive, member := c.args[0], c.args[1]
	data, err := os.ReadFile(c.ts.MkAbs(archive))
	if err != nil {
		return err
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == member && f.CompressedSize64 > 0 })
	if i < 0 {
		return fmt.Errorf("%s holds no %s", archive, member)
	}
	start, err := z.File[i].DataOffset()
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	data[start+int64(z.File[i].CompressedSize64/2)] ^= 1
	return os.WriteFile(c.ts.MkAbs(c.args[2]), data, 0o600)
}
