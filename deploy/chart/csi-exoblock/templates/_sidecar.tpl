{{/*
One sidecar's container. Takes a dict: root, name (of its values), container (its name), port, arguments (list).
*/}}
{{- define "exoblock.sidecar" -}}
{{- $sidecar := index .root.Values.sidecars .name -}}
{{- with $sidecar.leaderElection }}
{{- if and (hasSuffix "s" .leaseDuration) (ge (trimSuffix "s" .renewDeadline | int) (trimSuffix "s" .leaseDuration | int)) }}
{{- fail (printf "sidecars.%s.leaderElection.renewDeadline must be below leaseDuration" $.name) }}
{{- end }}
{{- end -}}
- name: {{ .container }}
  image: {{ include "exoblock.image" (dict "root" .root "image" $sidecar.image "tag" "") }}
  imagePullPolicy: {{ $sidecar.image.pullPolicy }}
  args:
    - --csi-address=/csi/csi.sock
    - --v={{ if .root.Values.debugLogs }}5{{ else }}{{ $sidecar.logLevel }}{{ end }}
    {{- range .arguments }}
    - {{ . }}
    {{- end }}
    - --leader-election
    - --leader-election-namespace={{ .root.Release.Namespace }}
    - --leader-election-lease-duration={{ $sidecar.leaderElection.leaseDuration }}
    - --leader-election-renew-deadline={{ $sidecar.leaderElection.renewDeadline }}
    - --leader-election-retry-period={{ $sidecar.leaderElection.retryPeriod }}
    - --http-endpoint=:{{ .port }}
    {{- range $sidecar.additionalArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    - name: NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
  ports:
    - name: {{ .name }}
      containerPort: {{ .port }}
  livenessProbe:
    httpGet:
      path: /healthz/leader-election
      port: {{ .name }}
    initialDelaySeconds: 10
    periodSeconds: 20
    timeoutSeconds: 10
    # It serves nothing until the driver is ready, which can wait for a right key or for the API. Kubelet starts a
    # container again without a pause once it has run for 10 minutes. A start-up probe's events would hide the driver's.
    failureThreshold: 31
  terminationMessagePolicy: FallbackToLogsOnError
  resources:
    {{- toYaml $sidecar.resources | nindent 4 }}
  securityContext:
    {{- toYaml ($sidecar.securityContext | default .root.Values.controller.containerSecurityContext) | nindent 4 }}
  volumeMounts:
    - name: socket
      mountPath: /csi
{{- end -}}
