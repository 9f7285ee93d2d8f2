// Package registertest has one valid algorithm.yaml for the tests of everybody who reads such a file. It owns
// no assertions and refuses to say more in it than a valid one must.
package registertest

import "strings"

// Minimal is the least that is valid. ID and InUse are in it once.
const (
	ID      = "alg-0a1b2c3d"
	InUse   = "In gebruik"
	Minimal = `schema: druppie.io/algorithm/v1
id: ` + ID + `
register:
  name: Peilverwachting
  description_short: Verwacht het waterpeil van morgen.
  organization: Voorbeeldwaterschap
  status: ` + InUse + `
  publication_category: Overige algoritmes
  contact_email: peilbeheer@waterschap.example
  lang: nld
ai_act_profile:
  type: niet-impactvol algoritme
owners:
  - organization: Voorbeeldwaterschap
    email: peilbeheer@waterschap.example
`
)

// Source is Minimal with another id.
func Source(id string) string { return strings.Replace(Minimal, ID, id, 1) }
