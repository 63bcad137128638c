package record

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// A member is one member of a record, or of an object in a record. It is declared once (recordMembers, tlsMembers,
// authKinds, …); from the declarations follow how records are read, which names are suggested, what is shown of a
// record, which secrets it has and where they go, and the schema.
type member struct {
	name    string
	about   string // description in the schema
	value          // what it may be
	initial any    // default in the schema; nil: none
	samples []any  // examples in the schema
	example string // how it looks when it is right, for messages: JSON, or two forms of it with "or" between them
	also    string // what other systems call it: lower case, separated by blanks
	// required is what is said where it is missing; "": it may be left out.
	required string
	optional bool // of an authentication: all others are required

	path string // "auth.password"; of its example, its problems, and so on
}

// value is what a member may be: how it is read, what the schema says of it, and the secrets in it.
type value struct {
	schema  fragment
	read    memberReader
	object  *memberSet // the members, of an object that has declared ones
	secrecy secrecy
	url     bool // it names an endpoint
	// secrets gives the secrets that a parsed record has here, each with what follows the path of the member ("[0]").
	secrets func(more *More, add func(suffix string, s Secret))
	// goesTo are the members whose URLs name the hosts that get the secret; nil: the target.
	goesTo []string
	// core: the other members of its object only say something of this secret.
	core bool
}

// A memberReader reads the value of the member that is named field in messages.
type memberReader func(r *recordReader, field string, v gjson.Result)

// secrecy says what in a value is secret.
type secrecy uint8

const (
	nothingSecret secrecy = iota // except what its members declare
	secretText                   // the value
	secretList                   // each entry of an array
	secretsByName                // each value of an object; the names are not
)

// memberSet are the members of an object.
type memberSet struct {
	members []*member // as declared
	byName  map[string]*member
	names   []string // sorted
	// required are those that may not be left out, by their names.
	required []*member
}

// newMemberSet completes declared members; prefix is the path of their object with a dot at its end.
func newMemberSet(prefix string, members []member) *memberSet {
	o := &memberSet{byName: make(map[string]*member, len(members))}
	for i := range members {
		m := &members[i]
		m.path = prefix + m.name
		o.add(m)
	}
	return o
}

func (o *memberSet) add(m *member) {
	o.members = append(o.members, m)
	o.byName[m.name] = m
	at, _ := slices.BinarySearch(o.names, m.name)
	o.names = slices.Insert(o.names, at, m.name)
	if m.required != "" {
		o.required = append(o.required, m)
		slices.SortFunc(o.required, func(a, b *member) int { return strings.Compare(a.name, b.name) })
	}
}

// visibility says how much of an object's member may be shown.
type visibility uint8

const (
	hidden visibility = iota // nothing: the member is a secret, or unknown
	byPart                   // each member of the object for itself
	open                     // all
)

func (m *member) visibility() visibility {
	switch {
	case m == nil || m.secrecy != nothingSecret:
		return hidden
	case m.object == nil:
		return open
	}
	first := m.object.members[0].visibility()
	for _, inner := range m.object.members[1:] {
		if inner.visibility() != first {
			return byPart
		}
	}
	return first
}

// aka returns the member that other systems call so, nil if there is none.
func (o *memberSet) aka(name string) *member {
	for _, m := range o.members {
		if slices.Contains(strings.Fields(m.also), name) {
			return m
		}
	}
	return nil
}

// The declared members. They are put together in init, since the readers of members look members up for their messages.
var (
	recordObject *memberSet
	memberAt     map[string]*member // by path
	secretsIn    []*member          // the secrets
)

func init() {
	recordObject = newMemberSet("", recordMembers())
	memberAt = map[string]*member{}
	var index func(o *memberSet)
	index = func(o *memberSet) {
		for _, m := range o.members {
			memberAt[m.path] = m
			if m.secrecy != nothingSecret {
				secretsIn = append(secretsIn, m)
			}
			if m.object != nil {
				index(m.object)
			}
		}
	}
	index(recordObject)
}
