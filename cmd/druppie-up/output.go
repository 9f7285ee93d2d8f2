package main

import (
	"io"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/ui"
)

// The ways to write a result, as --output takes them.
const (
	formatTable = "table"
	formatJSON  = "json"
)

// view is a result as people read it; as JSON it is the library's own type.
type view struct {
	headers []string
	rows    [][]string
}

func writeResult(w io.Writer, format string, result any, v view) error {
	if format == formatJSON {
		return cli.JSON(w, result)
	}
	return ui.Table(w, v.headers, v.rows)
}
