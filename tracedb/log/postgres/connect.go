package postgres

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// connectTimeout is how long a new connection may take, where the DSN doesn't say it.
const connectTimeout = time.Minute

// setUserTimeout sets how connections notice that the server has gone silent: what was sent is acknowledged
// within the time that it returns, as tcp_user_timeout says.
func setUserTimeout(config *pgx.ConnConfig) (time.Duration, error) {
	given := config.RuntimeParams["tcp_user_timeout"]
	if _, err := strconv.Atoi(given); err == nil {
		given += "ms" // as PostgreSQL reads it
	}
	timeout, err := time.ParseDuration(given)
	if err != nil || timeout < time.Millisecond {
		return 0, errors.New("tcp_user_timeout isn't a time such as 30s")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = (&net.Dialer{Control: func(network, _ string, c syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout.Milliseconds()))
		}), err)
	}}).DialContext
	return timeout, nil
}
