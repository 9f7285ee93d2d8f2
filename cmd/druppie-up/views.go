package main

import (
	"github.com/druppie/druppie-up/bootstrap"
)

// How the library's results look as tables. What is long or for programs only stays in the JSON.

func upView(s bootstrap.Summary) view {
	v := view{headers: []string{"what", "where"}}
	for _, u := range s.URLs {
		v.rows = append(v.rows, []string{u.Title, u.Address})
	}
	v.rows = append(v.rows, []string{"kubeconfig", s.Kubeconfig}, []string{"Passwords", "druppie-up credentials" + nameArg(s.Name)})
	return v
}

// nameArg is what has to be added to a command for a cluster that doesn't have the default name.
func nameArg(name string) string {
	if name == "druppie" {
		return ""
	}
	return " --name " + name
}
