# syntax=docker/dockerfile:1
# docker build -t alpes .            the one program, for every service
# docker build -t alpes-notificacion --target notificacion .    the foreign client of docs/examples/python
#
# The builder's Debian is the one below the program's image: both must have the same C library.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends protobuf-compiler \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The registry and the target folder are caches and not layers: a second build compiles what has changed. Whoever hands on a program hands
# on the licences of what is in it.
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package platform --features platform/distributed \
    && install -D target/release/alpes /out/alpes \
    && mkdir -p /out/licenses/alpes && cp LICENSE /out/licenses/alpes/ \
    && for crate in /usr/local/cargo/registry/src/*/*/; do \
        for text in "$crate"LICEN[CS]E* "$crate"COPYING* "$crate"NOTICE*; do \
            if [[ -f $text ]]; then install -D --mode=644 "$text" "/out/licenses/$(basename "$crate")/$(basename "$text")"; fi; \
        done; \
    done

FROM python:3.12-slim-bookworm AS notificacion
COPY docs/examples/python /app
RUN pip install --no-cache-dir --requirement /app/requirements.txt
USER 65532:65532
ENTRYPOINT ["python", "/app/alpes_client.py"]
CMD ["listen"]

# No shell and no package manager, the C library, certificates and time zones; about 25 MB and the program.
FROM gcr.io/distroless/cc-debian12:nonroot AS alpes
COPY --from=build /out/alpes /usr/local/bin/alpes
COPY --from=build /out/licenses /licenses
USER 65532:65532
# The services keep nothing here; who runs the embedded stack in a container mounts a volume and names it with --data.
WORKDIR /data
# Inside a container the process is reached over the container's network only, and who is on it is for them to say who start it: compose.yaml and
# deploy/kubernetes say in words that it is trusted (ALPES_TRUST_NETWORK); without that this image answers on its own loopback only.
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/alpes"]
CMD ["serve"]
