// Package deploytest holds what deploy/ gives to other programs against these
// programs' own types: the chart against Helm and the Kubernetes API, and
// compose.yaml against the Compose specification. It is a module of its own so
// that the bridge does not depend on them.
package deploytest
