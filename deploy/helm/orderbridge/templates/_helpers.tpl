{{- define "orderbridge.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "orderbridge.selector" -}}
app.kubernetes.io/name: orderbridge
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "orderbridge.labels" -}}
{{ include "orderbridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "orderbridge.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The ports of nats.url, 4222 where it names none, one a line. */}}
{{- define "orderbridge.natsPorts" -}}
{{- $ports := list }}
{{- range .Values.networkPolicy.natsPorts }}{{ $ports = append $ports (toString .) }}{{ end }}
{{- if not $ports }}
{{- range splitList "," .Values.nats.url }}
{{- $port := regexFind ":[0-9]+/?$" (trim .) | trimPrefix ":" | trimSuffix "/" }}
{{- $ports = append $ports (default "4222" $port) }}
{{- end }}
{{- end }}
{{- $ports | uniq | join "\n" }}
{{- end }}

{{/* Where nats.url says that the bus is, as peers of a NetworkPolicy: an address,
the namespace of a Service, or this namespace. Empty if one of its hosts does not tell. */}}
{{- define "orderbridge.natsPeers" -}}
{{- $peers := list }}
{{- $known := true }}
{{- range splitList "," .Values.nats.url }}
{{- $host := regexReplaceAll "^([a-z0-9+]+://)?([^/@]*@)?" (trim . | lower) "" | trimSuffix "/" }}
{{- $host = regexReplaceAll ":[0-9]+$" $host "" | trimSuffix "." }}
{{- if regexMatch "^([0-9]{1,3}\\.){3}[0-9]{1,3}$" $host }}
{{- $peers = append $peers (printf "- ipBlock:\n    cidr: %s/32" $host) }}
{{- else if regexMatch "^\\[[0-9a-f:]+\\]$" $host }}
{{- $peers = append $peers (printf "- ipBlock:\n    cidr: \"%s/128\"" ($host | trimPrefix "[" | trimSuffix "]")) }}
{{- else if regexMatch "\\.[a-z0-9-]+\\.svc(\\.[a-z0-9.-]+)?$" $host }}
{{- $peers = append $peers (printf "- namespaceSelector:\n    matchLabels:\n      kubernetes.io/metadata.name: %s" (regexReplaceAll "^.*\\.([a-z0-9-]+)\\.svc(\\.[a-z0-9.-]+)?$" $host "${1}")) }}
{{- else if regexMatch "^[a-z0-9-]+$" $host }}
{{- $peers = append $peers "- podSelector: {}" }}
{{- else }}
{{- $known = false }}
{{- end }}
{{- end }}
{{- if $known }}{{ $peers | uniq | join "\n" }}{{ end }}
{{- end }}
