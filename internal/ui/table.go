package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
)

// Table writes a result as columns without borders, so that people can read it and cut and awk can
// too. Without rows only the header is written: an empty result is visible as such.
func Table(w io.Writer, headers []string, rows [][]string) error {
	s := newStyles(w)
	upper := make([]string, len(headers))
	for i, h := range headers {
		upper[i] = strings.ToUpper(h)
	}
	cells := make([][]string, len(rows))
	for i, row := range rows {
		cells[i] = make([]string, len(headers))
		for j := range headers {
			if j < len(row) {
				cells[i][j] = OneLine(row[j])
			}
		}
	}
	t := table.New().
		Border(lipgloss.HiddenBorder()).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderHeader(false).BorderColumn(false).BorderRow(false).
		StyleFunc(func(row, col int) lipgloss.Style {
			style := s.plain
			if row == table.HeaderRow {
				style = s.strong
			}
			if col < len(headers)-1 {
				style = style.PaddingRight(3)
			}
			return style
		}).
		Headers(upper...).Rows(cells...)
	for line := range strings.Lines(t.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	return nil
}

// Heading writes a line that stands out, where that can be shown.
func Heading(w io.Writer, title string) error {
	_, err := fmt.Fprintln(w, newStyles(w).strong.Render(OneLine(title)))
	return err
}
