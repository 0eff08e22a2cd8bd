# One image for controller and node. Debian 12, because the file-system tools that the tests run
# on are its own; another release is another set of mkfs defaults (S17).
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends git
COPY . /source
WORKDIR /source
# uv in the version that the lock file names; every package with the hash that it names.
RUN pip install uv==$(sed -n '/^name = "uv"$/{n;s/version = "\(.*\)"/\1/p;}' uv.lock) \
 && UV_PROJECT_ENVIRONMENT=/opt/csi-exoblock UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy \
    uv sync --frozen --no-dev --no-editable --python /usr/local/bin/python

FROM ${BASE}
RUN apt-get update \
 && apt-get install --yes --no-install-recommends \
    btrfs-progs e2fsprogs mount util-linux xfsprogs \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/csi-exoblock /opt/csi-exoblock
# The controller needs no privilege; the node's pod asks for root by itself (F14).
USER 65532:65532
ENTRYPOINT ["/opt/csi-exoblock/bin/csi-exoblock"]
