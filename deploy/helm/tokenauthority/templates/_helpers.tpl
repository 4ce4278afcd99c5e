{{- define "tokenauthority.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "tokenauthority.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "tokenauthority.labels" -}}
{{ include "tokenauthority.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "tokenauthority.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "tokenauthority.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled }}{{ include "tokenauthority.name" . }}-tls{{ else }}{{ required "tls.existingSecret or tls.certManager.enabled is required" .Values.tls.existingSecret }}{{ end }}
{{- end }}

{{/* What the Pod Security Standard "restricted" asks of each container, and a root file system that is read-only. */}}
{{- define "tokenauthority.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}

{{- define "tokenauthority.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "tokenauthority.databaseUrl" -}}
- name: TOKENAUTHORITY_DATABASE__URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- end }}

{{/* The settings as variables, without secrets. */}}
{{- define "tokenauthority.settings" -}}
{{- $own := dict
  "ISSUANCE__ISSUER" (required "issuer is required" .Values.issuer)
  "LISTEN__GRPC" (ternary "0.0.0.0:50051" "off" .Values.grpc.enabled)
  "LISTEN__HTTP" "0.0.0.0:8080"
  "LISTEN__OPS" "0.0.0.0:8081"
  "TLS__CERT_FILE" "/etc/tokenauthority/tls/tls.crt"
  "TLS__KEY_FILE" "/etc/tokenauthority/tls/tls.key"
  "KEYS__MASTER_KEY_FILE" "/etc/tokenauthority/master/master.key"
  "CALLERS__FILE" "/etc/tokenauthority/callers/callers.toml"
  "LIMITS__DRAIN_DELAY" .Values.drain.delaySeconds
  "LIMITS__DRAIN_GRACE" .Values.drain.graceSeconds
-}}
{{- if .Values.masterKey.previousSecret }}{{ $_ := set $own "KEYS__PREVIOUS_MASTER_KEY_FILE" "/etc/tokenauthority/master/previous.key" }}{{ end }}
{{- if .Values.httpApi.enabled }}{{ $_ := set $own "LISTEN__HTTP_API" "0.0.0.0:8082" }}{{ end }}
{{- if .Values.spire.enabled }}{{ $_ := set $own "LISTEN__MTLS" "0.0.0.0:50052" }}{{ end }}
{{- range $name, $value := merge $own .Values.settings }}
TOKENAUTHORITY_{{ $name }}: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}

{{/* name: port of each listener for callers. */}}
{{- define "tokenauthority.ports" -}}
https: 8080
{{- if .Values.grpc.enabled }}
grpc: 50051
{{- end }}
{{- if .Values.spire.enabled }}
grpc-mtls: 50052
{{- end }}
{{- if .Values.httpApi.enabled }}
json: 8082
{{- end }}
{{- end }}
