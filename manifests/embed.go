// Package manifests holds the description of every component of the platform, and
// our changes to its upstream manifests. It carries data and nothing that
// thinks; no upstream file is kept here.
package manifests

import "embed"

// FS has one folder for each component.
//
//go:embed */*
var FS embed.FS
