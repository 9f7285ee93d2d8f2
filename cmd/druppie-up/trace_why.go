package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/druppie/druppie-up/bootstrap"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/tracedb/export"
	"github.com/druppie/druppie-up/tracedb/why"
	"github.com/spf13/cobra"
)

type traceWhyOptions struct {
	lang, subject string
	traceOptions
}

func newTraceWhyCmd(a *app) *cobra.Command {
	opts := &traceWhyOptions{}
	opts.app = a
	cmd := &cobra.Command{
		Use:   "why SUBJECT",
		Short: "Tell why something runs, or why it was refused",
		Long: `why follows a subject through the log: an image digest, a commit, namespace/pod, owner/repository, a
pull request owner/repository#number, an algorithm id, an address in Gitea, or type:value. It tells
what happened in the order of the flow, what there is no evidence of, and proves every record against
the log's signed checkpoint with the log's public key.`,
		Example: `  druppie-up trace why alg-d1jk3vl8
  druppie-up trace why drones/drone-service-6d5f7c9b8-abcde --lang nl
  druppie-up trace why druppie/drone-service -o json | jq -r .answer`,
		Args: oneArg("the SUBJECT to ask about"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			opts.subject = args[0]
			if _, err := why.Subject(opts.subject); err != nil {
				return withTraceHint(err)
			}
			if opts.key, err = readKey(opts.key); err != nil {
				return err
			}
			if err := checkTraceOptions(cmd, &opts.traceOptions); err != nil {
				return err
			}
			return runTraceWhy(cmd.Context(), opts)
		},
	}
	traceFlags(cmd, &opts.traceOptions)
	keyFlag(cmd, &opts.key, "the log's public key, or a file with it (default: as the cluster has it, not the trace)")
	langFlag(cmd, &opts.lang)
	outputFlag(cmd, &opts.format)
	return cmd
}

func runTraceWhy(ctx context.Context, opts *traceWhyOptions) error {
	c, key, err := openTrace(ctx, &opts.traceOptions, bootstrap.TraceAuditor)
	if err != nil {
		return err
	}
	chain, err := c.Why(ctx, opts.subject, why.Options{Proofs: true})
	if err != nil {
		return withTraceHint(err)
	}
	// An answer that can't be proven isn't shown.
	if key != "" {
		if err := export.CheckChain(chain, key); err != nil {
			return ui.WithHint(fmt.Errorf("the trace's answer isn't what the log signed: %w", err), "keep this output, and ask who changed the log or the key")
		}
	}
	if opts.format == formatJSON {
		return writeResult(opts.app.Out, formatJSON, chain, view{})
	}
	return writeChain(opts.app.Out, chain, opts.lang, key != "")
}

// whyWords are what the command says itself, in both languages.
var whyWords = map[string]map[string]string{
	english: {
		"step": "step", "when": "when (UTC)", "who": "who", "what": "what", "outcome": "outcome",
		"missing": "Missing:", "whole": "There is evidence of every step.",
		"more":   "The log holds more about this: druppie-up trace search shows it.",
		"proven": "Proven: these %d records are in the log of %d records whose checkpoint is signed with its key.",
		"not":    "Not proven: without --key nobody checked that these %d records are in the log of %d records that signs itself so.",
	},
	dutch: {
		"step": "stap", "when": "wanneer (UTC)", "who": "wie", "what": "wat", "outcome": "uitkomst",
		"missing": "Ontbreekt:", "whole": "Van elke stap is bewijs vastgelegd.",
		"more":   "Het logboek bevat hierover meer: druppie-up trace search toont het.",
		"proven": "Bewezen: deze %d records staan in het logboek van %d records waarvan de stand met de sleutel ervan is ondertekend.",
		"not":    "Niet bewezen: zonder --key is niet nagegaan of deze %d records in het logboek van %d records staan dat zo ondertekent.",
	},
}

// writeChain prints a chain for people: the answer, what happened, what is missing, and what proves it.
func writeChain(w io.Writer, c *why.Chain, lang string, proven bool) error {
	words := whyWords[lang]
	answer := c.Answer
	if lang == dutch {
		answer = c.AnswerNL
	}
	fmt.Fprintf(w, "%s\n\n", wrapped(answer, lineWidth))
	v := view{headers: []string{words["step"], words["when"], words["who"], words["outcome"], words["what"]}}
	for _, l := range c.Links {
		title, outcome := l.Title, ""
		if l.Outcome != "" {
			en, nl := why.OutcomeName(l.Outcome)
			if outcome = en; lang == dutch {
				outcome = nl
			}
		}
		if lang == dutch {
			title = l.TitleNL
		}
		v.rows = append(v.rows, []string{l.Step, l.At.UTC().Format("2006-01-02 15:04:05"), why.Account(l.Actor), outcome, title})
	}
	if err := ui.Table(w, v.headers, v.rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if c.Complete() {
		fmt.Fprintln(w, words["whole"])
	} else if len(c.Gaps) > 0 {
		fmt.Fprintln(w, words["missing"])
		for _, g := range c.Gaps {
			what := g.What
			if lang == dutch {
				what = g.WhatNL
			}
			fmt.Fprintf(w, "  %-4s %s\n", ui.OneLine(g.Step), ui.OneLine(what))
		}
	}
	if c.Truncated {
		fmt.Fprintln(w, words["more"])
	}
	proof := words["not"]
	if proven {
		proof = words["proven"]
	}
	fmt.Fprintf(w, "\n%s\n\n", wrapped(fmt.Sprintf(proof, len(c.Links), c.Size), lineWidth))
	var err error
	for line := range strings.Lines(strings.TrimRight(c.Checkpoint, "\n")) {
		if text := ui.OneLine(line); text != "" {
			_, err = fmt.Fprintln(w, "  "+text)
		}
	}
	return err
}

// lineWidth is how long lines of running text get.
const lineWidth = 100

// wrapped breaks a text between words.
func wrapped(text string, width int) string {
	var b strings.Builder
	length := 0
	for _, word := range strings.Fields(ui.OneLine(text)) {
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

// oneArg is for commands that take one argument.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return errors.New("give " + what)
		case len(args) > 1:
			return fmt.Errorf("unexpected argument %q", args[1])
		}
		return nil
	}
}
