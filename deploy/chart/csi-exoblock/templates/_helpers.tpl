{{/* What all names begin with: no release name, so that every way of installing gives the same objects. */}}
{{- define "exoblock.name" -}}
{{- .Values.nameOverride | default "csi-exoblock" | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of Kubernetes' convention. Takes a dict: root, component, more (labels of the object's own, or none). */}}
{{- define "exoblock.labels" -}}
{{- $labels := include "exoblock.selector" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/instance" .root.Release.Name -}}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "csi-exoblock" -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $labels (.more | default dict) (.root.Values.commonLabels | default dict)) -}}
{{- end -}}

{{/* Labels of pods. Takes a dict: root, component, more (labels of the pods' own, or none). */}}
{{- define "exoblock.podLabels" -}}
{{- toYaml (merge (include "exoblock.selector" . | fromYaml) (.more | default dict) (.root.Values.commonLabels | default dict)) -}}
{{- end -}}

{{/* What selectors select: these two never change (F5). */}}
{{- define "exoblock.selector" -}}
app.kubernetes.io/name: {{ include "exoblock.name" .root | quote }}
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

{{/* The classes of the values, and those of the vendor's whose names they do not have. Takes a dict: own, vendors (lists). */}}
{{- define "exoblock.classes" -}}
{{- $classes := .own -}}
{{- $names := list -}}
{{- range .own }}{{ $names = append $names .name }}{{ end -}}
{{- range .vendors }}{{ if not (has .name $names) }}{{ $classes = append $classes . }}{{ end }}{{ end -}}
{{- toYaml $classes -}}
{{- end -}}

{{/* How a new version replaces the old one. The API server forbids `rollingUpdate` beside another type. */}}
{{- define "exoblock.strategy" -}}
{{- $strategy := . | default dict -}}
{{- if ne ($strategy.type | default "RollingUpdate") "RollingUpdate" }}{{ $strategy = omit $strategy "rollingUpdate" }}{{ end -}}
{{- toYaml $strategy -}}
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

{{/* "true" where the controller may get a flag otherwise than by its value. Takes a dict: root, flag (without dashes). */}}
{{- define "exoblock.mayHaveFlag" -}}
{{- $variable := printf "CSI_EXOBLOCK_%s" (.flag | upper | replace "-" "_") -}}
{{- $controller := .root.Values.controller -}}
{{- if or (contains (printf "--%s" .flag) (toJson $controller.additionalArgs)) (contains $variable (toJson $controller.env)) $controller.envFrom }}true{{ end -}}
{{- end -}}

{{/* The URL of the API, or an error where the driver would refuse it (F18). */}}
{{- define "exoblock.endpoint" -}}
{{- with .Values.controller.apiEndpoint -}}
{{- $private := regexMatch "^https://|^http://(localhost|127[.][0-9.]+|\\[::1\\])([:/]|$)" . -}}
{{- if not (or $private (include "exoblock.mayHaveFlag" (dict "root" $ "flag" "allow-plain-http"))) -}}
{{ fail "controller.apiEndpoint is http://, which others could read and change: use https://, or add --allow-plain-http=true to controller.additionalArgs" }}
{{- end -}}
{{- if not (or (contains "{zone}" .) $.Values.controller.defaultZone (include "exoblock.mayHaveFlag" (dict "root" $ "flag" "default-zone"))) -}}
{{ fail "controller.apiEndpoint without {zone} serves one zone: set controller.defaultZone to it" }}
{{- end -}}
{{ . }}
{{- end -}}
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

{{/*
A file of alerts or a dashboard, with this installation's names where the file has patterns that fit the default names.
Takes a dict: root, file, quote (how the file writes a quotation mark).
*/}}
{{- define "exoblock.monitoring" -}}
{{- $node := printf "%s-node" (include "exoblock.name" .root) -}}
{{- $sets := list $node -}}
{{- range $suffix, $_ := .root.Values.node.additionalDaemonSets }}{{ $sets = append $sets (printf "%s-%s" $node $suffix) }}{{ end -}}
{{- $plugins := printf `namespace="%s", daemonset=~"%s"` .root.Release.Namespace (join "|" $sets) -}}
{{- $driver := printf `="%s"` .root.Values.driverName -}}
{{- .root.Files.Get .file
  | replace (replace `"` .quote `daemonset=~".*exoblock.*"`) (replace `"` .quote $plugins)
  | replace (replace `"` .quote `=~"(exoblock.)?csi.exoscale.com"`) (replace `"` .quote $driver) -}}
{{- end -}}
