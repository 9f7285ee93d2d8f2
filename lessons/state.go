package lessons

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/sys/atomicwriter"
)

// schema of the file that says where an attendee is.
const schema = "druppie.io/lessons/v1"

// Progress is how far an attendee is in one lesson.
type Progress struct {
	ID     string            `json:"id"` // unique: what the lesson makes is named so
	Began  time.Time         `json:"began"`
	Step   string            `json:"step"`
	Passed bool              `json:"passed"` // the step's check
	Done   bool              `json:"done"`   // all steps
	Vars   map[string]string `json:"vars"`
}

// state is where an attendee is.
type state struct {
	Schema  string               `json:"schema"`
	Current string               `json:"current"` // lesson
	Lessons map[string]*Progress `json:"lessons"`
}

// ErrState says that nobody can tell any more where the attendee is.
var ErrState = errors.New("can't be read")

func readState(file string) (*state, error) {
	s := &state{Schema: schema, Lessons: map[string]*Progress{}}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s %w: %w", file, ErrState, err)
	}
	if s.Schema != schema || s.Lessons == nil {
		return nil, fmt.Errorf("%s %w: its schema is %q", file, ErrState, s.Schema)
	}
	for name, p := range s.Lessons {
		if p == nil || !unique.MatchString(p.ID) {
			return nil, fmt.Errorf("%s %w: what it says of %s names no lesson", file, ErrState, name)
		}
	}
	return s, nil
}

// write replaces the file in one go, so that a kill leaves the old state or the new one.
func (s *state) write(file string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return atomicwriter.WriteFile(file, data, 0o600)
}
