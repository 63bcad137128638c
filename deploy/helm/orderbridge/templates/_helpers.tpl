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

{{/* Not empty if anything is mounted. */}}
{{- define "orderbridge.mounts" -}}
{{- if or .Values.api.tokensSecret .Values.nats.tlsSecret .Values.nats.credsSecret .Values.nats.nkeySecret .Values.trustRoots.configMap .Values.secretFiles .Values.sealingKeySecret .Values.automationFile.secretName .Values.automationFile.configMap .Values.extraVolumeMounts }}yes{{ end }}
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
