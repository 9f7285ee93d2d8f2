package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/client"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/spf13/cobra"
)

func newTraceWhyCmd(a *app) *cobra.Command {
	opts := &subjectOptions{}
	var lang string
	cmd := subjectCmd(a, &cobra.Command{
		Use:   "why SUBJECT",
		Short: "Tell why something runs, or why it was refused",
		Long: `why follows a subject through the log: an image digest, a commit, namespace/pod, owner/repository, a
pull request owner/repository#number, an algorithm id, an address in Gitea, or type:value. It tells
what happened in the order of the flow, what there is no evidence of, and proves every record against
the log's signed checkpoint with the log's public key.`,
		Example: `  druppie-up trace why alg-d1jk3vl8
  druppie-up trace why drones/drone-service-6d5f7c9b8-abcde --lang nl
  druppie-up trace why druppie/drone-service -o json | jq -r .answer`,
		Args: cli.Args("give the SUBJECT to ask about"),
	}, opts, func(ctx context.Context, c *client.Client) error {
		chain, err := c.Why(ctx, opts.subject.String(), why.Options{Proofs: true})
		if err != nil {
			return err
		}
		// An answer that can't be proven isn't shown.
		if opts.key != "" {
			if err := export.CheckChain(chain, opts.key); err != nil {
				return ui.WithHint(fmt.Errorf("the trace's answer isn't what the log signed: %w", err), "keep this output, and ask who changed the log or the key")
			}
		}
		if opts.format == formatJSON {
			return cli.JSON(a.Out, chain)
		}
		return writeChain(a.Out, chain, lang, opts.key != "")
	})
	langFlag(cmd, &lang)
	return cmd
}

// whyWords are what the command says itself.
var whyWords = map[string]text.Text{
	"step":    text.Of("step", "stap"),
	"when":    text.Of("when (UTC)", "wanneer (UTC)"),
	"who":     text.Of("who", "wie"),
	"what":    text.Of("what", "wat"),
	"outcome": text.Of("outcome", "uitkomst"),
	"missing": text.Of("Missing:", "Ontbreekt:"),
	"whole":   text.Of("There is evidence of every step.", "Van elke stap is bewijs vastgelegd."),
	"more": text.Of("The log holds more about this: druppie-up trace search shows it.",
		"Het logboek bevat hierover meer: druppie-up trace search toont het."),
	"proven": text.Of("Proven: these %d records are in the log of %d records whose checkpoint is signed with its key.",
		"Bewezen: deze %d records staan in het logboek van %d records waarvan de stand met de sleutel ervan is ondertekend."),
	"not": text.Of("Not proven: without --key nobody checked that these %d records are in the log of %d records that signs itself so.",
		"Niet bewezen: zonder --key is niet nagegaan of deze %d records in het logboek van %d records staan dat zo ondertekent."),
}

// writeChain prints a chain for people: the answer, what happened, what is missing, and what proves it.
func writeChain(w io.Writer, c *why.Chain, lang string, proven bool) error {
	say := func(word string) string { return whyWords[word].In(lang) }
	fmt.Fprintf(w, "%s\n\n", wrapped(text.Of(c.Answer, c.AnswerNL).In(lang), lineWidth))
	v := view{headers: []string{say("step"), say("when"), say("who"), say("outcome"), say("what")}}
	for _, l := range c.Links {
		v.rows = append(v.rows, []string{
			l.Step, l.At.UTC().Format(time.DateTime), why.Account(l.Actor), text.Of(why.OutcomeName(l.Outcome)).In(lang), text.Of(l.Title, l.TitleNL).In(lang),
		})
	}
	if err := ui.Table(w, v.headers, v.rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if c.Complete() {
		fmt.Fprintln(w, say("whole"))
	} else if len(c.Gaps) > 0 {
		fmt.Fprintln(w, say("missing"))
		for _, g := range c.Gaps {
			fmt.Fprintf(w, "  %-4s %s\n", ui.OneLine(g.Step), ui.OneLine(text.Of(g.What, g.WhatNL).In(lang)))
		}
	}
	if c.Truncated {
		fmt.Fprintln(w, say("more"))
	}
	proof := say("not")
	if proven {
		proof = say("proven")
	}
	fmt.Fprintf(w, "\n%s\n\n", wrapped(fmt.Sprintf(proof, len(c.Links), c.Size), lineWidth))
	var err error
	for line := range strings.Lines(strings.TrimRight(c.Checkpoint, "\n")) {
		if said := ui.OneLine(line); said != "" {
			_, err = fmt.Fprintln(w, "  "+said)
		}
	}
	return err
}

// lineWidth is how long lines of running text get.
const lineWidth = 100

// wrapped breaks a text between words.
func wrapped(s string, width int) string {
	var b strings.Builder
	length := 0
	for _, word := range strings.Fields(ui.OneLine(s)) {
		n := len([]rune(word))
		switch {
		case length == 0:
		case length+1+n > width:
			b.WriteByte('\n')
			length = 0
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += n
	}
	return b.String()
}
