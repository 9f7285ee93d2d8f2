package publish

import (
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/druppie/druppie-up/internal/names"
)

// ReadMe is the file that says what the checkpoint is for.
const ReadMe = "README.md"

// readMe is for readers of the repository, in both of the platform's languages.
const readMe = `# Checkpoints of the Traceability DB

` + "`checkpoint`" + ` is the newest signed head of this platform's evidence log (C2SP tlog-checkpoint): how many records
there are, and one hash over all of them. Every earlier one is in this repository's history. Who changes or
removes a record, even with the database and the signing key in hand, makes a log that no longer fits what
stands here. Keep a clone elsewhere: then it can't be changed unseen here either.

Public key: ` + "`%[1]s`" + `

Check the log against it with ` + "`tracedb check --checkpoint checkpoint`" + `, or an exported archive with
` + "`tracedb verify`" + `.

# Controlepunten van de Traceability DB

` + "`checkpoint`" + ` is het nieuwste ondertekende hoofd van het bewijslogboek van dit platform: hoeveel vermeldingen er
zijn, en één hash over allemaal. Elk eerder controlepunt staat in de geschiedenis van deze repository. Wie een
vermelding wijzigt of weghaalt, ook met de database en de ondertekensleutel in handen, maakt een logboek dat
niet meer past bij wat hier staat. Bewaar elders een kloon: dan kan ook hier niets ongezien veranderen.

De openbare sleutel staat hierboven, en ook hoe er mee gecontroleerd wordt.
`

// writeReadme writes the README, if it isn't what it should be, once.
func (p *Publisher) writeReadme(r *repository) error {
	p.mu.Lock()
	written := p.readmeWritten
	p.mu.Unlock()
	if p.Key == "" || written {
		return nil
	}
	text := fmt.Appendf(nil, readMe, p.Key)
	file, resp, err := r.GetContents(r.owner, r.name, names.MainBranch, ReadMe)
	sha := ""
	if err == nil {
		sha = file.SHA
	} else if resp != nil && resp.StatusCode == http.StatusNotFound {
		err = nil
	}
	if err == nil && (sha == "" || file.Content == nil || *file.Content != base64.StdEncoding.EncodeToString(text)) {
		_, err = r.write(ReadMe, sha, "Say what the checkpoint is for", text)
	}
	if err != nil {
		return fmt.Errorf("write %s of %s: %w", ReadMe, p.Repository, err)
	}
	p.mu.Lock()
	p.readmeWritten = true
	p.mu.Unlock()
	return nil
}
