# One image for controller and node: Debian 12, its Python and its file-system tools, which are those
# that the tests run on; another release is another set of mkfs defaults (S17). `make image` builds it.
# A release pins the base by digest.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-venv
WORKDIR /source
# Everything that is installed, and everything that builds it, comes with the hash in uv.lock (N13).
# Where a proxy signs for the whole world, its authority is the secret "certificates".
COPY pyproject.toml uv.lock deploy/image/requirements.py ./
RUN --mount=type=secret,id=certificates,target=/run/certificates.crt \
    if [ -s /run/certificates.crt ]; then \
        export PIP_CERT=/run/certificates.crt SSL_CERT_FILE=/run/certificates.crt; fi; \
    export UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 \
 && python3 -m venv /build && python3 -m venv --without-pip /opt/csi-exoblock \
 && python3 requirements.py uv | /build/bin/pip install --require-hashes -r /dev/stdin \
 && /build/bin/uv export --frozen --only-group build --output-file /build/build.txt \
 && /build/bin/uv export --frozen --no-dev --no-emit-project --output-file /build/run.txt \
 && /build/bin/uv pip install --python /build --require-hashes -r /build/build.txt \
 && /build/bin/uv pip install --python /opt/csi-exoblock --require-hashes -r /build/run.txt
COPY . .
ARG REVISION=unknown
RUN /build/bin/python -c "import hatch_build as build, pathlib; \
    pathlib.Path(build.BUILD).write_text(build.build_module('${REVISION}'))" \
 && /build/bin/uv build --offline --wheel --no-build-isolation --python /build/bin/python \
 && /build/bin/uv pip install --offline --python /opt/csi-exoblock --compile-bytecode --no-deps \
    dist/*.whl

FROM ${BASE}
# Nothing in here gives a process more rights than it was started with.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
    btrfs-progs e2fsprogs mount python3 util-linux xfsprogs \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
 && find / -xdev -type f -perm /6000 -exec chmod ug-s {} +
COPY --from=build /opt/csi-exoblock /opt/csi-exoblock
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=https://github.com/csi-exoblock/csi-exoblock
LABEL org.opencontainers.image.title="csi-exoblock" \
      org.opencontainers.image.description="A Kubernetes CSI driver for Exoscale Block Storage" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# The controller needs no privilege; the node's pod asks for root by itself (F14).
USER 65532:65532
ENTRYPOINT ["/opt/csi-exoblock/bin/csi-exoblock"]
