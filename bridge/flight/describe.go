package flight

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// Member is a part of an input or an output that is not zero: "Event.Seq", "12".
type Member struct{ Name, Value string }

const (
	longText = 200 // characters of a value that are shown
	longList = 16  // members of a list, of which the others are counted
)

// Members lists what an input or an output says, in the order of its type.
func Members(x any) []Member {
	var m members
	m.add("", reflect.ValueOf(x))
	return m
}

// Kind is the name of the type of an input or an output.
func Kind(x any) string { return nameOf(reflect.TypeOf(x)) }

type members []Member

func (m *members) say(name, value string) {
	if runes := []rune(value); len(runes) > longText {
		value = string(runes[:longText]) + "…"
	}
	*m = append(*m, Member{strings.TrimPrefix(name, "."), value})
}

func (m *members) add(name string, v reflect.Value) {
	if !v.IsValid() || v.IsZero() {
		return
	}
	switch x := v.Interface().(type) {
	case time.Time:
		m.say(name, x.UTC().Format(time.RFC3339Nano))
		return
	case *record.Subscription:
		m.say(name, x.ID)
		return
	case *event.Event:
		m.event(name, x)
		return
	case error:
		m.say(name, x.Error())
		return
	case fmt.Stringer:
		if v.Kind() != reflect.Pointer {
			m.say(name, x.String())
			return
		}
	case []byte:
		m.say(name, strconv.Quote(string(x)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		m.add(name, v.Elem())
	case reflect.Struct:
		m.fields(name, v)
	case reflect.Slice, reflect.Array:
		for i := range min(v.Len(), longList) {
			m.add(fmt.Sprintf("%s[%d]", name, i), v.Index(i))
		}
		if v.Len() > longList {
			m.say(name, fmt.Sprintf("%d more", v.Len()-longList))
		}
	case reflect.Map:
		m.say(name, fmt.Sprintf("%d entries", v.Len()))
	default:
		m.say(name, fmt.Sprint(v.Interface()))
	}
}

func (m *members) fields(name string, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case !f.IsExported():
		case f.Anonymous:
			m.add(name, v.Field(i))
		default:
			m.add(name+"."+f.Name, v.Field(i))
		}
	}
}

func (m *members) event(name string, e *event.Event) {
	for _, x := range []Member{{"Seq", strconv.FormatUint(e.Seq, 10)}, {"Time", e.Time.UTC().Format(time.RFC3339Nano)}, {"Subject", e.Subject},
		{"ID", e.ID}, {"Type", e.Type}, {"OrderID", e.OrderID}, {"LegacyOrderID", e.LegacyOrderID}, {"Tenant", e.Tenant}, {"Not", e.Not}} {
		if x.Value != "" {
			m.say(name+"."+x.Name, x.Value)
		}
	}
}
