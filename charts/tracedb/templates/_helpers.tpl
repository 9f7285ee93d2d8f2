{{- define "labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/part-of: druppie
app.kubernetes.io/managed-by: druppie-up
{{- end -}}

{{- define "host" -}}
{{ .Chart.Name }}.{{ .Release.Namespace }}.svc.cluster.local
{{- end -}}

{{- /* The pod, which is the same beside a volume and beside PostgreSQL. */ -}}
{{- define "pod" -}}
metadata:
  labels: {{- include "labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}
spec:
  serviceAccountName: tracedb
  # It asks the API server who calls, and watches what runs.
  automountServiceAccountToken: true
  enableServiceLinks: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- if gt (int .Values.replicas) 1 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          app.kubernetes.io/name: tracedb
  {{- end }}
  containers:
    - name: tracedb
      image: {{ .Values.image }}
      command: [/tracedb]
      args: [serve, --config=/etc/tracedb/config.yaml]
      env:
        - {name: TMPDIR, value: /tmp}
        # Go collects garbage sooner near this; SQLite's memory lies beside it.
        - {name: GOMEMLIMIT, value: 192MiB}
      ports:
        - {name: https, containerPort: 8443}
        - {name: health, containerPort: 8080}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      startupProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 1
        failureThreshold: 120
      readinessProbe:
        httpGet: {path: /readyz, port: health}
        periodSeconds: 5
        timeoutSeconds: 5
      livenessProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 6
      resources:
        requests: {cpu: 20m, memory: 64Mi}
        limits: {memory: 256Mi}
      volumeMounts:
        - {name: config, mountPath: /etc/tracedb, readOnly: true}
        - {name: ca, mountPath: /etc/ssl/platform, readOnly: true}
        {{- if not .Values.postgres.dsnSecret }}
        - {name: data, mountPath: /data}
        {{- end }}
        - {name: tmp, mountPath: /tmp}
  volumes:
    # One volume for all that it is configured with. What changes in the cluster
    # shows here; which of it counts without a restart, docs/trace/operating.md says.
    - name: config
      projected:
        defaultMode: 0440
        sources:
          - configMap:
              name: tracedb-config
              items: [{key: config.yaml, path: config.yaml}]
          - configMap:
              name: {{ .Values.configMaps.keyring }}
              items: [{key: cosign.pub, path: keyring/cosign.pub}, {key: conformance.pub, path: keyring/conformance.pub}]
          - secret:
              name: {{ .Values.secrets.tls }}
              items: [{key: tls.crt, path: tls/tls.crt}, {key: tls.key, path: tls/tls.key}]
          - secret:
              name: {{ .Values.secrets.checkpoint }}
              items: [{key: checkpoint.key, path: keys/checkpoint.key}]
          - secret:
              name: {{ .Values.secrets.admission }}
              items: [{key: token, path: admission/token}]
          - secret:
              name: {{ .Values.secrets.webhook }}
              items: [{key: secret, path: gitea/secret}]
          - secret:
              name: {{ .Values.secrets.gitea }}
              items: [{key: token, path: trace/token}]
          - secret:
              name: {{ .Values.secrets.oauth }}
              items: [{key: client-id, path: oauth/client-id}, {key: client-secret, path: oauth/client-secret}]
          - secret:
              name: {{ .Values.secrets.session }}
              items: [{key: key, path: session/key}]
          {{- with .Values.postgres.dsnSecret }}
          - secret:
              name: {{ . }}
              items: [{key: dsn, path: postgres/dsn}]
          {{- end }}
    - name: ca
      configMap: {name: {{ .Values.configMaps.ca }}}
    - name: tmp
      emptyDir: {}
{{- end -}}
