package publish

import (
	"encoding/base64"
	"fmt"
	"net/http"

	"code.gitea.io/sdk/gitea"
)

// ReadMe is the file that says what the checkpoint is for.
const ReadMe = "README.md"

// readMe is for whoever comes across the repository, in both of the platform's languages.
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
func (p *Publisher) writeReadme(client *gitea.Client, owner, name string) error {
	p.mu.Lock()
	written := p.readmeWritten
	p.mu.Unlock()
	if p.Key == "" || written {
		return nil
	}
	text := fmt.Sprintf(readMe, p.Key)
	opts := gitea.FileOptions{Message: "Say what the checkpoint is for", BranchName: p.branch()}
	content := base64.StdEncoding.EncodeToString([]byte(text))
	file, resp, err := client.GetContents(owner, name, p.branch(), ReadMe)
	switch {
	case resp != nil && resp.StatusCode == http.StatusNotFound:
		_, _, err = client.CreateFile(owner, name, ReadMe, gitea.CreateFileOptions{FileOptions: opts, Content: content})
	case err != nil:
	case file.Content == nil || *file.Content != content:
		_, _, err = client.UpdateFile(owner, name, ReadMe, gitea.UpdateFileOptions{FileOptions: opts, SHA: file.SHA, Content: content})
	}
	if err != nil {
		return fmt.Errorf("write %s of %s: %w", ReadMe, p.Repository, err)
	}
	p.mu.Lock()
	p.readmeWritten = true
	p.mu.Unlock()
	return nil
}
