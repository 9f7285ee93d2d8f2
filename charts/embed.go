// Package charts holds the Helm charts of parts that have no upstream manifests
// we can use. It is data: rendering is bootstrap/render's work.
package charts

import "embed"

// FS has one chart per folder. The pattern `all:` keeps the helper templates,
// whose names begin with an underscore.
//
//go:embed all:registry all:gitea all:frontdoor all:tracedb
var FS embed.FS
