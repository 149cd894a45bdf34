# syntax=docker/dockerfile:1
# docker build -t furt .
# docker run -p 7811:7811 -v furt:/var/lib/furt -v ./furt.toml:/etc/furt/furt.toml:ro --stop-timeout 20 furt
# The stop timeout must exceed `server.grace`, or Docker cuts the requests that furt still waits for.

FROM rust:1.95-bookworm AS builder
# libz-ng-sys, which Pingora compresses with, builds its C library with cmake; etcd-client makes its messages with protoc. furt is optimised
# by profiles with llvm and bolt, which must have the version of rustc's own LLVM.
RUN apt-get update && apt-get install -y --no-install-recommends cmake protobuf-compiler libprotobuf-dev llvm-22 bolt-22 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# rust-toolchain.toml stays outside: it would fetch rustfmt and clippy, which a build has no use for.
COPY . .
# There is no repository in here to ask: docker build --build-arg FURT_COMMIT=$(git rev-parse --short=12 HEAD)
ARG FURT_COMMIT=""
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    CI=true .ci/release && install -D target/dist/furt /out/furt

FROM debian:bookworm-slim
# The system's roots verify https services.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/furt
COPY --from=builder /out/furt /usr/local/bin/furt
COPY conf/examples/docker.toml /etc/furt/furt.toml
WORKDIR /var/lib/furt
# The registry, of the user below; after its folder was made, or the volume would be root's.
VOLUME /var/lib/furt
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Where the binary's own verbs, and so the health check, find the internal listener.
ENV FURT_URL=http://127.0.0.1:8081
EXPOSE 7811 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/usr/local/bin/furt", "ready"]
ENTRYPOINT ["/usr/local/bin/furt"]
CMD ["run", "--config", "/etc/furt/furt.toml"]
