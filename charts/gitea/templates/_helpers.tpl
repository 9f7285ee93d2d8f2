{{- define "labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/part-of: druppie
app.kubernetes.io/managed-by: druppie-up
{{- end -}}
