package gomod

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// Download fetches a module, unless the module cache has it, and checks it against the checksum database.
func (g Go) Download(ctx context.Context, path, version string) (Module, error) {
	if err := os.MkdirAll(g.ModCache, 0o755); err != nil {
		return Module{}, err
	}
	out, err := g.Run(ctx, "", nil, "mod", "download", "-json", path+"@"+version)
	var got struct {
		Module
		Error string
	}
	// The go command's own reason stands in its answer, also when it failed.
	if jsonErr := json.Unmarshal(out, &got); jsonErr == nil && got.Error != "" {
		return Module{}, fmt.Errorf("%s@%s: %s", path, version, got.Error)
	}
	if err != nil {
		return Module{}, fmt.Errorf("%s@%s: %w", path, version, err)
	}
	if got.Dir == "" || got.Zip == "" {
		return Module{}, fmt.Errorf("%s@%s: go mod download names no files", path, version)
	}
	return got.Module, nil
}
