{{/* What all names begin with: no release name, so that every way of installing gives the same objects. */}}
{{- define "exoblock.name" -}}
{{- .Values.nameOverride | default "csi-exoblock" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of Kubernetes' convention. Takes a dict: root, component. */}}
{{- define "exoblock.labels" -}}
{{ include "exoblock.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: csi-exoblock
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What selectors select: these two never change (F5). */}}
{{- define "exoblock.selector" -}}
app.kubernetes.io/name: {{ include "exoblock.name" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The name of an image. Takes a dict: root, image, tag (used if the image has none). */}}
{{- define "exoblock.image" -}}
{{- $path := printf "%s/%s" .image.registry .image.repository -}}
{{- with .root.Values.imageRegistry }}{{ $path = printf "%s/%s" (trimSuffix "/" .) $.image.repository }}{{ end -}}
{{- $path }}:{{ .image.tag | default .tag }}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "exoblock.controllerAccount" -}}
{{- .Values.controller.serviceAccount.name | default (printf "%s-controller" (include "exoblock.name" .)) -}}
{{- end -}}

{{- define "exoblock.nodeAccount" -}}
{{- .Values.node.serviceAccount.name | default (printf "%s-node" (include "exoblock.name" .)) -}}
{{- end -}}

{{/* "true" where a Secret is made from values. */}}
{{- define "exoblock.makesSecret" -}}
{{- with .Values.credentials -}}
{{- if and .apiKey .apiSecret }}true{{ else if or .apiKey .apiSecret -}}
{{ fail "credentials.apiKey and credentials.apiSecret go together: set both, or neither and have the Secret of credentials.existingSecret" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "exoblock.secretName" -}}
{{- if include "exoblock.makesSecret" . -}}
{{ include "exoblock.name" . }}-credentials
{{- else -}}
{{ .Values.credentials.existingSecret.name }}
{{- end -}}
{{- end -}}

{{- define "exoblock.secretKeyEntry" -}}
{{- if include "exoblock.makesSecret" . }}EXOSCALE_API_KEY{{ else }}{{ .Values.credentials.existingSecret.keyKey }}{{ end -}}
{{- end -}}

{{- define "exoblock.secretSecretEntry" -}}
{{- if include "exoblock.makesSecret" . }}EXOSCALE_API_SECRET{{ else }}{{ .Values.credentials.existingSecret.secretKey }}{{ end -}}
{{- end -}}

{{/*
"true" where the snapshotter belongs (F6). A cluster lists its kinds, such as v1/Pod; without one, as in `helm template`,
Helm knows groups and versions only.
*/}}
{{- define "exoblock.snapshots" -}}
{{- $enabled := toString .Values.sidecars.snapshotter.enabled -}}
{{- if eq $enabled "true" }}true
{{- else if eq $enabled "auto" -}}
{{- $has := .Capabilities.APIVersions -}}
{{- if or (not ($has.Has "v1/Pod")) ($has.Has "snapshot.storage.k8s.io/v1/VolumeSnapshotContent") }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* Where kubelet probes the driver. Takes a dict: root, path. */}}
{{- define "exoblock.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
{{- if .root.Values.metrics.tls.secretName }}
  scheme: HTTPS
{{- end }}
{{- end -}}

{{- define "exoblock.taint" -}}
{{ .Values.driverName }}/agent-not-ready
{{- end -}}

{{/* The arguments that make a process serve probes and metrics. */}}
{{- define "exoblock.httpArguments" -}}
- --http-endpoint=:{{ .Values.metrics.port }}
{{- if .Values.metrics.tls.secretName }}
- --metrics-cert-file=/etc/csi-exoblock/tls/tls.crt
- --metrics-key-file=/etc/csi-exoblock/tls/tls.key
{{- end }}
{{- end -}}

{{/* Environment variables of the controller; empty where there are none. */}}
{{- define "exoblock.controllerEnvironment" -}}
{{- if not .Values.credentials.mountAsFile }}
- name: EXOSCALE_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "exoblock.secretName" . }}
      key: {{ include "exoblock.secretKeyEntry" . }}
- name: EXOSCALE_API_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ include "exoblock.secretName" . }}
      key: {{ include "exoblock.secretSecretEntry" . }}
{{- end }}
{{- if .Values.proxy.httpsProxy }}
- name: HTTPS_PROXY
  value: {{ .Values.proxy.httpsProxy | quote }}
- name: NO_PROXY
  value: {{ .Values.proxy.noProxy | quote }}
{{- end }}
{{- with .Values.controller.env }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
