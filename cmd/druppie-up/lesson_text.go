package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/druppie/druppie-up/cmd/internal/cli"
	"github.com/druppie/druppie-up/internal/names"
	"github.com/druppie/druppie-up/internal/text"
	"github.com/druppie/druppie-up/internal/ui"
	"github.com/druppie/druppie-up/lessons"
	"github.com/spf13/cobra"
)

// lessonWords are what the commands say themselves.
var lessonWords = map[string]text.Text{
	"lesson":    text.Of("lesson", "les"),
	"minutes":   text.Of("minutes", "minuten"),
	"steps":     text.Of("steps", "stappen"),
	"state":     text.Of("state", "stand"),
	"about":     text.Of("what it is about", "waar het over gaat"),
	"done":      text.Of("done", "klaar"),
	"begun":     text.Of("at step", "bij stap"),
	"step":      text.Of("Step {number} of {of}: {title}", "Stap {number} van {of}: {title}"),
	"heading":   text.Of("Lesson {lesson}: {lessonTitle} (about {minutes} minutes)", "Les {lesson}: {lessonTitle} (ongeveer {minutes} minuten)"),
	"do":        text.Of("Do it yourself", "Doe het zelf"),
	"why":       text.Of("What happened", "Wat er gebeurde"),
	"where":     text.Of("where", "waar"),
	"what":      text.Of("what", "wat"),
	"who":       text.Of("log in as", "log in als"),
	"passwords": text.Of("Passwords", "Wachtwoorden"),
	"files":     text.Of("Files", "Bestanden"),
	"ca":        text.Of("Certificate", "Certificaat"),
	"then": text.Of("When you think it is done: druppie-up lesson check{name}. Stuck? druppie-up lesson hint{name}",
		"Denk je dat het klaar is: druppie-up lesson check{name}. Zit je vast? druppie-up lesson hint{name}"),
	"passed": text.Of("Step {number} of {of} is done: {title}", "Stap {number} van {of} is klaar: {title}"),
	"next":   text.Of("Go on: druppie-up lesson next{name}", "Verder: druppie-up lesson next{name}"),
	"end": text.Of("That was the lesson. druppie-up lesson reset{name} takes away what it made.",
		"Dat was de les. druppie-up lesson reset{name} ruimt op wat ze maakte."),
	"unchecked": text.Of("step {number} of {of} of lesson {lesson} hasn't passed its check",
		"stap {number} van {of} van les {lesson} is nog niet door de controle"),
	"not done yet": text.Of("step {number} of {of} isn't done yet: {missing}", "stap {number} van {of} is nog niet klaar: {missing}"),
	"can't begin":  text.Of("lesson {lesson} can't begin: {missing}", "les {lesson} kan niet beginnen: {missing}"),
	"seen":         text.Of("what was seen: {seen}", "wat er te zien was: {seen}"),
}

// say fills a sentence of the commands' own.
func (o *lessonOptions) say(word string, v lessons.View) string {
	return lessonWords[word].Fill(func(name string) text.Text {
		switch name {
		case "number":
			return text.Same(strconv.Itoa(v.Number))
		case "of":
			return text.Same(strconv.Itoa(v.Of))
		case "minutes":
			return text.Same(strconv.Itoa(v.Minutes))
		case "lesson":
			return text.Same(v.Lesson)
		case "title":
			return v.Title
		case "lessonTitle":
			return v.LessonTitle
		case "missing":
			return v.Missing
		case "seen":
			return text.Same(v.Seen)
		case "name":
			return text.Same(nameArg(o.Name))
		}
		return text.Text{}
	}).In(o.lang)
}

// write writes a step as JSON or for people.
func (o *lessonOptions) write(v lessons.View, people func(io.Writer) error) error {
	if o.format == formatJSON {
		return cli.JSON(o.app.Out, v)
	}
	return people(o.app.Out)
}

// notYet is the error of a check that didn't pass, in the attendee's language.
func (o *lessonOptions) notYet(v lessons.View, err error, sentence, hint string) error {
	if !errors.Is(err, lessons.ErrNotYet) {
		return err
	}
	err = errors.New(o.say(sentence, v) + "\n" + o.say("seen", v))
	if hint != "" {
		err = ui.WithHint(err, hint)
	}
	if o.format == formatJSON {
		return errors.Join(cli.JSON(o.app.Out, v), err)
	}
	return err
}

// where tells where an attendee works, as whom, and where passwords come from.
func (o *lessonOptions) where(w io.Writer, v lessons.View) error {
	if err := ui.Heading(w, o.say("heading", v)); err != nil {
		return err
	}
	fmt.Fprintln(w)
	page := func(host string) string { return fmt.Sprintf("https://%s.%s:%d/", host, names.Domain, o.port) }
	word := func(name string) string { return lessonWords[name].In(o.lang) }
	rows := [][]string{
		{"Gitea", page("gitea"), names.UserBuilder + ", " + names.UserReviewer},
		{"Trace", page("trace"), names.UserAuditor},
		{word("passwords"), "druppie-up credentials" + nameArg(o.Name), ""},
		{"kubectl", "export KUBECONFIG=" + o.Kubeconfig(), ""},
	}
	if v.Folder != "" {
		rows = append(rows, []string{word("files"), "cd " + v.Folder, ""})
	}
	if err := ui.Table(w, []string{word("what"), word("where"), word("who")}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// step tells a step: the story, and what to do.
func (o *lessonOptions) step(w io.Writer, v lessons.View) error {
	if err := ui.Heading(w, o.say("step", v)); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := o.paragraphs(w, v.Story); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if v.Passed {
		return o.passed(w, v)
	}
	if err := ui.Heading(w, lessonWords["do"].In(o.lang)); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := o.paragraphs(w, v.Do); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", wrapped(o.say("then", v), lineWidth))
	return err
}

// passed explains a step that is done.
func (o *lessonOptions) passed(w io.Writer, v lessons.View) error {
	if err := ui.Heading(w, o.say("passed", v)); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := o.paragraphs(w, v.Explanation); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if v.Done {
		return o.end(w, v)
	}
	_, err := fmt.Fprintln(w, o.say("next", v))
	return err
}

func (o *lessonOptions) end(w io.Writer, v lessons.View) error {
	_, err := fmt.Fprintln(w, wrapped(o.say("end", v), lineWidth))
	return err
}

var item = regexp.MustCompile(`^\s*(\d+\.|-) `)

// paragraphs writes running text, broken between words. Lines that are set in are commands and stay as they are; an
// item of a list begins a line.
func (o *lessonOptions) paragraphs(w io.Writer, t text.Text) error {
	var out, running []string
	flush := func() {
		if len(running) > 0 {
			out = append(out, wrapped(strings.Join(running, " "), lineWidth))
		}
		running = nil
	}
	for line := range strings.Lines(strings.TrimSpace(t.In(o.lang))) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "":
			flush()
			out = append(out, "")
		case strings.HasPrefix(line, "  "):
			flush()
			out = append(out, line)
		case item.MatchString(line):
			flush()
			running = append(running, line)
		default:
			running = append(running, line)
		}
	}
	flush()
	_, err := fmt.Fprintln(w, strings.Join(out, "\n"))
	return err
}

// localeFlag gives a command the flag for the language, whose default is that of the reader's locale.
func localeFlag(cmd *cobra.Command, lang *string) {
	languages := []string{text.English, text.Dutch}
	if text.Locale(os.Getenv) == text.Dutch {
		languages = []string{text.Dutch, text.English}
	}
	cli.Choice(cmd, lang, "lang", "", "language of what is told (default: that of your locale)", languages...)
}
