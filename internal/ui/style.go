package ui

import (
	"io"
	"os"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// styles are bound to the writer they are for: what isn't a terminal, and NO_COLOR, get none.
type styles struct {
	plain, strong, faint, good, bad, busy lipgloss.Style
}

func newStyles(w io.Writer) styles {
	r := lipgloss.NewRenderer(w)
	if os.Getenv("NO_COLOR") != "" {
		r.SetColorProfile(termenv.Ascii)
	}
	colour := func(ansi string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(ansi)) }
	return styles{
		plain:  r.NewStyle(),
		strong: r.NewStyle().Bold(true),
		faint:  r.NewStyle().Faint(true),
		good:   colour("2"),
		bad:    colour("1").Bold(true),
		busy:   colour("6"),
	}
}
