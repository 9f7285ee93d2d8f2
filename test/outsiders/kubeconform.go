package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/druppie/druppie-up/internal/command"
)

// kubeconform holds every object that we would apply against the schemas that this platform's API server publishes:
// those of its version of Kubernetes and of every CRD, where upstream's own are files on a server.
func kubeconform(ctx context.Context, w *world) ([]result, error) {
	program, err := w.goTool(ctx, "kubeconform")
	if err != nil {
		return nil, err
	}
	schemas := filepath.Join(w.temp, "schemas")
	if err := w.writeSchemas(schemas); err != nil {
		return nil, fmt.Errorf("read the schemas of the API server: %w", err)
	}
	objects, err := command.Output(ctx, druppie, "render", "--name", w.name)
	if err != nil {
		return nil, err
	}
	out, err := command.Command{Name: program, Stdin: bytes.NewReader(objects), Args: []string{
		"-strict", "-output", "junit", "-schema-location", schemas + "/{{.ResourceKind}}_{{.Group}}_{{.ResourceAPIVersion}}.json",
	}}.Output(ctx)
	// It ends with 1 where an object is invalid; the report says which.
	if failure := (*command.Error)(nil); errors.As(err, &failure) && len(failure.Stdout) > 0 {
		out, err = failure.Stdout, nil
	}
	if err != nil {
		return nil, err
	}
	return readJUnit(bytes.NewReader(out))
}

// writeSchemas writes one file for each kind, which refers to one file for each group and version.
func (w *world) writeSchemas(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	paths, err := w.Kube.Discovery().OpenAPIV3().Paths()
	if err != nil {
		return err
	}
	for path, group := range paths {
		raw, err := group.Schema("application/json")
		if err != nil {
			return err
		}
		var doc struct {
			Components struct{ Schemas map[string]map[string]any }
		}
		if err := json.Unmarshal(raw, &doc); err != nil {
			return err
		}
		file := strings.ReplaceAll(path, "/", "_") + ".json"
		for name, schema := range doc.Components.Schemas {
			kinds, _ := schema["x-kubernetes-group-version-kind"].([]any)
			for _, k := range kinds {
				gvk, _ := k.(map[string]any)
				group, _ := gvk["group"].(string)
				version, _ := gvk["version"].(string)
				kind, _ := gvk["kind"].(string)
				if group == "" {
					group = version // as kubeconform has it
				}
				ref := map[string]any{"$ref": file + "#/components/schemas/" + name}
				if err := writeJSON(filepath.Join(dir, strings.ToLower(kind)+"_"+group+"_"+version+".json"), ref); err != nil {
					return err
				}
			}
			asServer(schema)
		}
		if err := writeJSON(filepath.Join(dir, file), map[string]any{"components": map[string]any{"schemas": doc.Components.Schemas}}); err != nil {
			return err
		}
	}
	return nil
}

// asServer makes a schema say what the API server does beside it, which upstream's files have in them too: a null is a
// field that isn't there, and who asks for strictness may set no field that the schema doesn't know.
func asServer(v any) {
	switch v := v.(type) {
	case map[string]any:
		if kind, ok := v["type"].(string); ok {
			v["type"] = []string{kind, "null"}
		}
		if _, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == nil && v["x-kubernetes-preserve-unknown-fields"] == nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			asServer(inner)
		}
	case []any:
		for _, inner := range v {
			asServer(inner)
		}
	}
}

func writeJSON(file string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o644)
}
