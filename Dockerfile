# The broker in an image without a shell. Messages, keys and configuration are in the volume /data:
#   docker build -t dpmq . && docker run -d -p 8011:8011 -v dpmq:/data -e DPMQ_MQ_SECRETKEY=… dpmq
# packaging/check compares this file with the program.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked && \
    mkdir -p /out/data && \
    cp target/release/dpmq /out/

# Has glibc, which all tests and measurements use, and nothing else that runs.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/dpmq /usr/local/bin/dpmq
# A new volume gets its owner from this folder.
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
# The log is the container's output, not a file.
ENV DPMQ_LOG_FILE=0
EXPOSE 8011
STOPSIGNAL SIGTERM
# Without --start-interval, which older engines refuse.
HEALTHCHECK --interval=10s --timeout=6s --start-period=5m --retries=3 \
    CMD ["/usr/local/bin/dpmq", "health"]
ENTRYPOINT ["/usr/local/bin/dpmq"]
CMD ["serve"]
