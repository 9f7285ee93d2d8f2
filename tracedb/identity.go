package tracedb

import "slices"

// Role is what an identity may do.
type Role string

// The roles. Everybody, also without a name, has RolePublic.
const (
	RolePublic    Role = "public"    // read the register
	RoleWriter    Role = "writer"    // add records of its kinds
	RoleAuditor   Role = "auditor"   // read everything; every read is recorded
	RoleAdmission Role = "admission" // ask whether something may run
)

// Identity is an authenticated caller.
type Identity struct {
	Name  string `json:"name"` // system:serviceaccount:…, gitea:<user>, collector:<name>
	Roles []Role `json:"roles"`
	Kinds []Kind `json:"kinds,omitempty"` // that a writer may add
}

// Has says whether the identity has the role.
func (i Identity) Has(r Role) bool { return r == RolePublic || slices.Contains(i.Roles, r) }

// MayWrite says whether the identity may add records of that kind. Internal kinds are for the
// service itself, whose identity has no roles at all.
func (i Identity) MayWrite(k Kind) bool {
	info, ok := k.Info()
	return ok && !info.Internal && i.Has(RoleWriter) && slices.Contains(i.Kinds, k)
}
