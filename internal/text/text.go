// Package text owns what is said to people in English and in Dutch: one thing in both, sentences with
// values in them, which language a reader wants, and how numbers are written in it. It refuses other
// languages, and to say anything of its own.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// The languages, as HTML and browsers name them.
const (
	Dutch   = "nl"
	English = "en"
)

// Text is one thing said in both languages.
type Text struct {
	EN string `json:"en"`
	NL string `json:"nl"`
}

// Of is a text of both.
func Of(en, nl string) Text { return Text{EN: en, NL: nl} }

// Same is what is the same in both languages.
func Same(s string) Text { return Text{EN: s, NL: s} }

// In is the text in one language; where it wasn't said in Dutch, in English.
func (t Text) In(lang string) string {
	if lang == Dutch && t.NL != "" || t.EN == "" {
		return t.NL
	}
	return t.EN
}

// Plus is the text with another behind it.
func (t Text) Plus(more Text) Text { return Text{EN: t.EN + more.EN, NL: t.NL + more.NL} }

// Fill puts values into both languages' {names}. A part in [brackets] is left out when one of its names
// has no value.
func (t Text) Fill(value func(name string) Text) Text {
	return Text{
		EN: fill(t.EN, func(name string) string { return value(name).EN }),
		NL: fill(t.NL, func(name string) string { return value(name).NL }),
	}
}

func fill(template string, value func(name string) string) string {
	var out, part strings.Builder
	to, whole := &out, true
	for i := 0; i < len(template); i++ {
		switch c := template[i]; c {
		case '[':
			part.Reset()
			to, whole = &part, true
		case ']':
			if whole {
				out.WriteString(part.String())
			}
			to = &out
		case '{':
			n := strings.IndexByte(template[i:], '}')
			v := value(template[i+1 : i+n])
			whole = whole && v != ""
			to.WriteString(v)
			i += n
		default:
			to.WriteByte(c)
		}
	}
	return strings.TrimSpace(out.String())
}

// Sentence begins with a capital, and without what a part that was left out leaves before it.
func (t Text) Sentence() Text {
	one := func(s string) string {
		s = strings.TrimLeft(s, "; ,")
		r, n := utf8.DecodeRuneInString(s)
		if n == 0 {
			return s
		}
		return string(unicode.ToUpper(r)) + s[n:]
	}
	return Text{EN: one(t.EN), NL: one(t.NL)}
}

// Join puts sentences behind each other, without the empty ones.
func Join(all ...Text) Text {
	var en, nl []string
	for _, t := range all {
		if t.EN != "" {
			en, nl = append(en, t.EN), append(nl, t.NL)
		}
	}
	return Text{EN: strings.Join(en, " "), NL: strings.Join(nl, " ")}
}

// List joins words as people do: a, b and c.
func List(words []string) Text {
	if len(words) < 2 {
		return Same(strings.Join(words, ""))
	}
	head, tail := strings.Join(words[:len(words)-1], ", "), words[len(words)-1]
	return Text{EN: head + " and " + tail, NL: head + " en " + tail}
}

// Accepted is the language that an Accept-Language header likes best; false if it names neither.
func Accepted(header string) (lang string, ok bool) {
	wanted, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(wanted) == 0 {
		return "", false
	}
	_, i, confidence := language.NewMatcher([]language.Tag{language.Dutch, language.English}).Match(wanted...)
	return []string{Dutch, English}[i], confidence != language.No
}

// Number writes n with the language's separator of thousands.
func Number(lang string, n int64) string {
	return message.NewPrinter(language.Make(lang)).Sprint(n)
}

// Locale is the language that the environment asks for: the first of these variables that is set decides.
func Locale(getenv func(string) string) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := getenv(name); value != "" {
			if lang, _, _ := strings.Cut(value, "_"); lang == Dutch {
				return Dutch
			}
			break
		}
	}
	return English
}
