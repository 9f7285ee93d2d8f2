package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/moby/sys/atomicwriter"

	"github.com/druppie/druppie-up/conformance"
	"github.com/druppie/druppie-up/internal/ui"
)

// kept are the results of mutations that this program has tried on this platform, so that a matrix that was
// stopped goes on where it stopped.
type kept struct {
	file    string
	results map[string]conformance.MutationResult
	known   map[string]conformance.MutationResult // those that aren't tried again
}

type keptFile struct {
	Revision string                                `json:"revision"`
	Results  map[string]conformance.MutationResult `json:"results"`
}

func openKept(file string, again bool) (*kept, error) {
	k := &kept{file: file, results: map[string]conformance.MutationResult{}}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return nil, err
	}
	var f keptFile
	if err := json.Unmarshal(data, &f); err != nil {
		if again {
			return k, nil
		}
		return nil, ui.WithHint(fmt.Errorf("%s: %w", file, err), "start over with --again")
	}
	// Two builds of a tree with uncommitted changes have the same revision, and may differ.
	known := revision != "" && !strings.HasSuffix(revision, "-dirty")
	if known && f.Revision == revision && f.Results != nil {
		k.results = f.Results
	}
	if !again {
		k.known = k.results
	}
	return k, nil
}

func (k *kept) keep(r conformance.MutationResult) error {
	k.results[r.Name] = r
	data, err := json.MarshalIndent(keptFile{revision, k.results}, "", "  ")
	if err != nil {
		return err
	}
	return atomicwriter.WriteFile(k.file, data, 0o600)
}
