FROM python:3.11-slim-bookworm AS build
WORKDIR /build
# Requirements first: a change of the sources then leaves these layers cached.
COPY requirements/build.txt requirements/server.txt requirements/
# /opt/venv gets no pip of its own: what nobody needs at run time cannot be turned against the service.
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements/build.txt \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --require-hashes \
    --requirement requirements/server.txt
COPY . .
RUN /opt/build/bin/hatchling build --target wheel --directory /tmp/wheel \
 && (cd clients/python && /opt/build/bin/hatchling build --target wheel --directory /tmp/wheel) \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps /tmp/wheel/*.whl


FROM python:3.11-slim-bookworm
# Given by `make image`: the version from the one place where it stands, the revision from git.
ARG VERSION
ARG REVISION
ARG SOURCE=https://github.com/tokenauthority/tokenauthority
LABEL org.opencontainers.image.title="Token Authority" \
      org.opencontainers.image.description="Signs and verifies the tokens of real-time sessions" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 65532 tokenauthority \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/tokenauthority \
    --shell /usr/sbin/nologin tokenauthority \
 && install --directory --owner=65532 --group=65532 --mode=0700 /var/lib/tokenauthority
COPY --from=build /opt/venv /opt/venv
COPY deploy/image/healthy /usr/local/bin/
# The health check needs it; a base image without it fails here, and not in production.
RUN openssl version
# No bytecode, so that the root file system can be read-only; no buffer, so that a last log line is not lost in it.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# On all addresses: on loopback, no published port would reach the server. Variables win over a settings file.
ENV TOKENAUTHORITY_LISTEN__GRPC=0.0.0.0:50051 \
    TOKENAUTHORITY_LISTEN__HTTP=0.0.0.0:8080 \
    TOKENAUTHORITY_LISTEN__OPS=0.0.0.0:8081
# By number: an orchestrator can see that it is not root without reading /etc/passwd.
USER 65532:65532
WORKDIR /var/lib/tokenauthority
VOLUME /var/lib/tokenauthority
EXPOSE 50051 8080 8081
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s CMD ["healthy"]
ENTRYPOINT ["tokenauthority"]
CMD ["serve"]
