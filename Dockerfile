# openclaw-usage alone on an empty root: no shell, no packages, no user but a number. amd64 and arm64; either builds for both.
#
#   docker build -t openclaw-usage .
#   docker build -t openclaw-usage --platform linux/amd64,linux/arm64 \
#     --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) --build-arg REVISION=$(git rev-parse HEAD) --sbom=true .

FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95.0-slim-trixie AS build
# The toolchain of the base, and none of the components that rust-toolchain.toml asks for on a developer's machine.
ENV RUSTUP_TOOLCHAIN=1.95.0
# What the machine that builds may be, what it builds for: amd64 or arm64.
ARG TARGETARCH
RUN dpkg --add-architecture "$TARGETARCH" \
 && apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates clang tzdata "musl-dev:$TARGETARCH" \
 && rm -rf /var/lib/apt/lists/* \
 && rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
WORKDIR /src
COPY . .
# A quick build for trials: --build-arg CARGO_PROFILE_RELEASE_LTO=off. Not given, Cargo.toml holds.
ARG CARGO_PROFILE_RELEASE_LTO
ARG CARGO_PROFILE_RELEASE_CODEGEN_UNITS
# The target folder is never a kept one: Cargo tells by times whether a source changed, and an older commit has older times.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    deploy/image/build.sh "$TARGETARCH" /out
ARG SOURCE_DATE_EPOCH=0
RUN deploy/image/root.sh /out/openclaw-usage /out/rootfs

FROM scratch AS runtime
ARG VERSION=0.1.0
ARG REVISION
LABEL org.opencontainers.image.title="openclaw-usage" \
      org.opencontainers.image.description="Counts every token of OpenClaw's scheduled runs exactly once and shows it in Prometheus" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /out/rootfs/ /
# Messages as JSON, the ledger in /var/lib/openclaw-usage, /metrics on all of the container's addresses; and where the gateway's
# own image keeps its state. A configuration file or a flag says otherwise.
ENV OPENCLAW_USAGE_CONTAINER=1 \
    OPENCLAW_STATE_DIR=/home/node/.openclaw
# The user of the gateway's own image.
USER 1000:1000
EXPOSE 9464
VOLUME /var/lib/openclaw-usage
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["/usr/bin/openclaw-usage", "health"]
ENTRYPOINT ["/usr/bin/openclaw-usage"]
CMD ["serve"]
