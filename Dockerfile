# syntax=docker/dockerfile:1
# The program alone, as an unprivileged user. It needs a Postgres elsewhere: set DATABASE_URL.

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# SQL is checked against .sqlx/: no database is needed here.
ENV SQLX_OFFLINE=true
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tidegate \
    && cp target/release/tidegate /usr/local/bin/tidegate

FROM debian:bookworm-slim
# Certificates of the providers' servers are checked against the system's.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tidegate
COPY --from=build /usr/local/bin/tidegate /usr/local/bin/tidegate
# `run workers/...` and tidegate.toml are looked for here.
COPY workers /tidegate/workers
WORKDIR /tidegate
USER tidegate
ENTRYPOINT ["tidegate"]
CMD ["work"]
