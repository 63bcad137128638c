// Package telemetry sets up what an operator sees of the process: its log, its
// metrics and its version.
package telemetry
