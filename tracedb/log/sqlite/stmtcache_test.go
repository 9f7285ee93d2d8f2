package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestKept asks what a connection that keeps its statements could answer wrongly.
func TestKept(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "trace.db"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := db.Engine.(*engine).write.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	kept := func(query string) (n int, it bool) {
		t.Helper()
		if err := c.Raw(func(raw any) error {
			_, it = raw.(*conn).kept[query]
			n = len(raw.(*conn).kept)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n, it
	}
	numbers := func(ctx context.Context, q interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	}, query string, args ...any) (*sql.Rows, []int) {
		t.Helper()
		rows, err := q.QueryContext(ctx, query, args...)
		if err != nil {
			t.Fatal(err)
		}
		var out []int
		for len(out) < 2 && rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
		return rows, out
	}

	const list = "SELECT value FROM json_each($1)"
	t.Run("twice at once", func(t *testing.T) {
		tx, err := c.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		first, got := numbers(t.Context(), tx, list, "[1,2,3,4]")
		second, other := numbers(t.Context(), tx, list, "[5,6,7]")
		if !slices.Equal(got, []int{1, 2}) || !slices.Equal(other, []int{5, 6}) {
			t.Fatalf("read %v and %v", got, other)
		}
		var last int
		if !first.Next() || first.Scan(&last) != nil || last != 3 {
			t.Errorf("then %d: the second question disturbed the first", last)
		}
		if err := errors.Join(first.Close(), second.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		rows, _ := numbers(ctx, c, list, "[1,2,3]")
		cancel()
		_ = rows.Close()
		rows, got := numbers(t.Context(), c, list, "[8,9]")
		if err := rows.Close(); err != nil || !slices.Equal(got, []int{8, 9}) {
			t.Errorf("read %v, %v", got, err)
		}
	})
	t.Run("failed", func(t *testing.T) {
		const insert = "INSERT INTO heads (size, root, time) VALUES ($1, $2, 0)"
		for _, root := range []string{"short", "short", strings.Repeat("x", 32)} {
			_, err := c.ExecContext(t.Context(), insert, 1, []byte(root))
			if _, is := kept(insert); (err == nil) != (len(root) == 32) || is != (err == nil) {
				t.Errorf("%d bytes: kept %t, %v", len(root), is, err)
			}
		}
		if _, err := c.ExecContext(t.Context(), insert, 1, make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "heads are never replaced") {
			t.Errorf("a head was replaced: %v", err)
		}
	})
	t.Run("many", func(t *testing.T) {
		for i := range 3 * maxKept {
			query := fmt.Sprintf("SELECT %d + $1", i)
			var sum int
			if err := c.QueryRowContext(t.Context(), query, 1).Scan(&sum); err != nil || sum != i+1 {
				t.Fatalf("%s: %d, %v", query, sum, err)
			}
			if n, it := kept(query); n > maxKept || !it {
				t.Fatalf("%d are kept, %q: %t", n, query, it)
			}
		}
	})
	t.Run("changed tables", func(t *testing.T) {
		const size = "SELECT size FROM heads"
		before, _ := numbers(t.Context(), c, size)
		_ = before.Close()
		if _, err := c.ExecContext(t.Context(), "DROP TABLE heads; CREATE TABLE heads (other TEXT, size INTEGER); INSERT INTO heads VALUES ('x', 42)"); err != nil {
			t.Fatal(err)
		}
		rows, got := numbers(t.Context(), c, size)
		if err := rows.Close(); err != nil || !slices.Equal(got, []int{42}) {
			t.Errorf("read %v, %v", got, err)
		}
	})
}
