package main

import (
	"time"

	"orderbridge/bridge"
)

// laneEntry, mark and status are the entries of the state buckets as the
// commands read them.
type laneEntry struct {
	Generation uint64   `json:"generation"`
	Key        string   `json:"key,omitempty"`
	Seqs       []uint64 `json:"seqs"`
	Head       struct {
		Attempts   int       `json:"attempts"`
		Next       time.Time `json:"next"`
		LastStatus int       `json:"lastStatus,omitempty"`
		LastError  string    `json:"lastError,omitempty"`
	} `json:"head"`
	Redrive uint64 `json:"redrive,omitempty"`
}

type mark struct {
	Generation uint64      `json:"generation"`
	From       uint64      `json:"from,omitempty"`
	Done       [][2]uint64 `json:"done,omitempty"`
	Until      *uint64     `json:"until,omitempty"`
	Reason     string      `json:"reason,omitempty"`
	Live       uint64      `json:"live,omitempty"`
}

type status struct {
	State    string           `json:"state"`
	Revision uint64           `json:"revision"`
	Reason   string           `json:"reason,omitempty"`
	Hears    string           `json:"hears,omitempty"`
	Errors   []bridge.Problem `json:"errors,omitempty"`
	Warnings []bridge.Problem `json:"warnings,omitempty"`
}

const stateInvalid = "invalid"
