// Package droneservice holds the source of the sample service, as it is pushed
// to its repository. It is data: nothing here thinks.
package droneservice

import "embed"

// FS holds the repository's files. Python's caches may be among them where the
// tests were run; whoever copies from it leaves __pycache__ out.
//
//go:embed Dockerfile README.md algorithm.yaml .dockerignore .gitignore
//go:embed all:drone_service all:tests deploy samples
var FS embed.FS
