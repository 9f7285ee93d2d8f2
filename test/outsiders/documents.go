package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/druppie/druppie-up/bootstrap/supply/store"
	"github.com/druppie/druppie-up/internal/command"
)

// spectral lints the description of the trace's API. A rule that found nothing is a test that passed, and each
// finding one that failed, so that a known one doesn't hide the next.
func spectral(ctx context.Context, _ *world) ([]result, error) {
	if _, err := npm(ctx); err != nil {
		return nil, err
	}
	out, err := command.Output(ctx, "node", filepath.Join(tools, "spectral.mjs"), "tracedb/api/openapi.yaml")
	if err != nil {
		return nil, err
	}
	var said struct {
		Rules    []string
		Findings []struct{ Rule, Path, Message string }
	}
	if err := json.Unmarshal(out, &said); err != nil {
		return nil, fmt.Errorf("read what Spectral said: %w", err)
	}
	var all []result
	found := map[string]bool{}
	for _, f := range said.Findings {
		found[f.Rule] = true
		all = append(all, result{test: f.Rule + " " + f.Path, state: failed, message: f.Message})
	}
	for _, rule := range said.Rules {
		if !found[rule] {
			all = append(all, result{test: rule})
		}
	}
	return all, nil
}

// cycloneDX holds every list of parts in the store against CycloneDX's own schema of the version that it claims.
func cycloneDX(ctx context.Context, _ *world) ([]result, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(filepath.Join(cache, "druppie-up", "store"))
	if err != nil {
		return nil, err
	}
	entries, err := s.Entries()
	if err != nil {
		return nil, err
	}
	module, err := moduleDir(ctx, "github.com/CycloneDX/cyclonedx-go")
	if err != nil {
		return nil, err
	}
	compiler := schemaCompiler(filepath.Join(module, "schema"))
	var all []result
	for _, e := range entries {
		if !strings.HasSuffix(e.Ref, ".sbom") {
			continue
		}
		res := result{test: e.Ref}
		if err := validSBOM(s, e.Ref, compiler); err != nil {
			res.state, res.message = failed, err.Error()
		}
		all = append(all, res)
	}
	if len(all) == 0 {
		return nil, notRun("the store holds no list of parts: it was filled from a registry")
	}
	return all, nil
}

// schemaCompiler finds the schemas that CycloneDX's name by address in the folder that they came in.
func schemaCompiler(dir string) *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseLoader(localSchemas(dir))
	return c
}

type localSchemas string

func (dir localSchemas) Load(address string) (any, error) {
	name := strings.TrimSuffix(address[strings.LastIndex(address, "/")+1:], "#")
	for _, file := range []string{name, strings.Replace(name, ".schema.json", ".schemax.json", 1)} {
		if f, err := os.Open(filepath.Join(string(dir), file)); err == nil {
			defer f.Close()
			return jsonschema.UnmarshalJSON(f)
		}
	}
	return nil, fmt.Errorf("no schema %s in CycloneDX's module", name)
}

func validSBOM(s *store.Store, ref string, compiler *jsonschema.Compiler) error {
	image, err := s.Image(ref)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	if len(layers) != 1 {
		return fmt.Errorf("it has %d layers, not one", len(layers))
	}
	r, err := layers[0].Compressed()
	if err != nil {
		return err
	}
	defer r.Close()
	return validCycloneDX(r, compiler)
}

func validCycloneDX(r io.Reader, compiler *jsonschema.Compiler) error {
	doc, err := jsonschema.UnmarshalJSON(r)
	if err != nil {
		return err
	}
	fields, _ := doc.(map[string]any)
	version, _ := fields["specVersion"].(string)
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-" + version + ".schema.json")
	if err != nil {
		return fmt.Errorf("CycloneDX %q: %w", version, err)
	}
	return schema.Validate(doc)
}
