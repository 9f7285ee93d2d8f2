// Package pipelines holds the foundry's Tekton tasks, the pipeline that strings
// them together and what starts it. It carries data and nothing that thinks.
package pipelines

import "embed"

// FS is a kustomization with one folder for each task, one for the release, and one for each of what starts it.
//
//go:embed kustomization.yaml */*.yaml
var FS embed.FS
