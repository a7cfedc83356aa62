# The `onrush` binary on a small Debian, for every node: orchestrator, driver and target.
#
#   docker build -t onrush .
#   docker run --rm onrush --help
#
# It needs BuildKit (the default since Docker 23; before: DOCKER_BUILDKIT=1). A driver also needs io_uring, which the
# engine's default seccomp profile refuses; see docs/CONTAINERS.md.

ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
# librdkafka is built from source, with make and the C compiler that the Rust image has.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Dependencies are fetched and compiled once: the cache outlives the layer, so a change of the sources compiles only
# what it touches. Names of functions stay in the binary, line numbers do not.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/build \
    cargo build --release --locked --bin onrush \
    && install -D build/release/onrush /out/onrush

FROM ${BASE_IMAGE}
COPY --from=build /out/onrush /usr/local/bin/onrush
# Whom https targets are trusted by.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# A new named volume that is mounted here takes over the owner.
RUN install -d -o 10001 -g 10001 /var/lib/onrush
USER 10001:10001
WORKDIR /var/lib/onrush
# Within a container everybody has a loopback of their own. So the orchestrator wants --token-file, or --insecure-no-auth where its
# port is published to nobody else.
ENV ONRUSH_ORCHESTRATOR_LISTEN=0.0.0.0:7400 \
    ONRUSH_TARGET_LISTEN=0.0.0.0:8080 \
    ONRUSH_STORE=/var/lib/onrush/onrush.db
EXPOSE 7400 8080
ENTRYPOINT ["onrush"]
CMD ["--help"]
