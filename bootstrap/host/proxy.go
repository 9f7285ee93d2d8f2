package host

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// proxyVariables are read, in both spellings, by what we start.
var proxyVariables = []string{"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"}

func (h *Host) checkProxy(_ context.Context) Finding {
	return proxyFinding(os.Getenv, h.opt.Cluster)
}

func proxyFinding(env func(string) string, cluster string) Finding {
	get := func(name string) string {
		if v := env(name); v != "" {
			return v
		}
		return env(strings.ToLower(name))
	}
	var set []string
	for _, name := range proxyVariables {
		if v := get(name); v != "" {
			set = append(set, name+"="+withoutUser(v))
		}
	}
	if len(set) == 0 {
		return Finding{Status: OK, Found: "none"}
	}
	inside := []string{"localhost", "127.0.0.1", ".svc", ".cluster.local", cluster + "-mirror"}
	for _, who := range sortedKeys(clusterRanges) {
		inside = append(inside, clusterRanges[who].String())
	}
	// Go and curl separate entries by commas, and only some programs by blanks too:
	// what commas separate counts as exempt, and the value to paste has commas only.
	exempt := strings.Split(get("NO_PROXY"), ",")
	missing := slices.DeleteFunc(inside, func(name string) bool {
		return slices.ContainsFunc(exempt, func(entry string) bool { return exempts(strings.TrimSpace(entry), name) })
	})
	f := Finding{Status: OK, Found: strings.Join(set, ", ")}
	if len(missing) > 0 {
		f.Status, f.Found = Warn, f.Found+"; NO_PROXY lacks "+strings.Join(missing, ", ")
		entries := strings.FieldsFunc(get("NO_PROXY"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		missing = slices.DeleteFunc(missing, func(name string) bool { return slices.Contains(entries, name) })
		f.Mend = "export NO_PROXY=" + strings.Join(append(entries, missing...), ",")
	}
	return f
}

// exempts says whether an entry of NO_PROXY covers a name, a domain with a dot
// in front, an address, or a whole network.
func exempts(entry, name string) bool {
	if entry == "*" || entry == name {
		return true
	}
	if network, ok := asPrefix(name); ok {
		covering, ok := asPrefix(entry)
		return ok && covering.Bits() <= network.Bits() && covering.Contains(network.Addr())
	}
	domain := strings.TrimPrefix(strings.TrimPrefix(entry, "*"), ".")
	return domain != "" && (domain == strings.TrimPrefix(name, ".") || strings.HasSuffix(name, "."+domain))
}

// asPrefix reads a network, or an address as a network of one.
func asPrefix(s string) (netip.Prefix, bool) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil
}

// withoutUser takes user and password off a proxy's address. It doesn't parse
// it: what makes an address unreadable is often a character of the password.
func withoutUser(address string) string {
	at := strings.LastIndex(address, "@")
	if at < 0 {
		return address
	}
	scheme, _, ok := strings.Cut(address[:at], "://")
	if !ok || strings.ContainsAny(scheme, ":@ ") {
		return "…" + address[at:]
	}
	return scheme + "://…" + address[at:]
}

// hideProxyUsers takes users and passwords of the proxies out of a text: errors
// of programs and libraries repeat an address that they can't read.
func hideProxyUsers(text string, env func(string) string) string {
	for _, name := range proxyVariables {
		for _, address := range []string{env(name), env(strings.ToLower(name))} {
			if hidden := withoutUser(address); hidden != address {
				text = strings.ReplaceAll(text, address, hidden)
				quoted := strconv.Quote(address)
				text = strings.ReplaceAll(text, quoted[1:len(quoted)-1], hidden)
			}
		}
	}
	return text
}
