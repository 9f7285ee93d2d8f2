package main

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// readJUnit reads every test of a JUnit report, whatever suites it stands in. How a test ended stands below it or in its
// status; a report whose suites count failures that no test has is refused.
func readJUnit(r io.Reader) ([]result, error) {
	type remark struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	var all []result
	claimed, found := 0, 0
	for d := xml.NewDecoder(r); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if claimed > 0 && found == 0 {
				return nil, errors.New("the JUnit report counts failures, and none of its tests failed")
			}
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the JUnit report: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if start.Name.Local != "testcase" {
			for _, a := range start.Attr {
				if n, err := strconv.Atoi(a.Value); err == nil && (a.Name.Local == "failures" || a.Name.Local == "errors") {
					claimed += n
				}
			}
			continue
		}
		var c struct {
			Name      string   `xml:"name,attr"`
			Classname string   `xml:"classname,attr"`
			Status    string   `xml:"status,attr"`
			Said      string   `xml:"system-out"`
			Failures  []remark `xml:"failure"`
			Errors    []remark `xml:"error"`
			Skipped   []remark `xml:"skipped"`
		}
		if err := d.DecodeElement(&c, &start); err != nil {
			return nil, fmt.Errorf("read the JUnit report: %w", err)
		}
		name := c.Name
		if c.Classname != "" && !strings.HasPrefix(name, c.Classname) {
			name = c.Classname + " " + name
		}
		res := result{test: name}
		switch bad := append(c.Failures, c.Errors...); {
		case len(bad) > 0:
			res.state, res.message = failed, strings.TrimSpace(cmp.Or(bad[0].Message, bad[0].Text))
		case len(c.Skipped) > 0:
			res.state = skipped
		default:
			if res.state, ok = byStatus[c.Status]; !ok {
				return nil, fmt.Errorf("the JUnit report says of %s that it is %q, which nobody here knows", name, c.Status)
			}
			if res.state == failed {
				res.message = strings.TrimSpace(c.Said)
			}
		}
		if res.state == failed {
			found++
		}
		all = append(all, res)
	}
}

// byStatus are the words of reports that say in an attribute how a test ended.
var byStatus = map[string]state{"": passed, "passed": passed, "skipped": skipped, "failure": failed, "error": failed}
