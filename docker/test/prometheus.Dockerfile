# Where no registry of images can be reached: Prometheus from Debian's packages.
ARG BASE
FROM ${BASE}
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN apt-get update && apt-get install -y --no-install-recommends prometheus && mkdir -p /prometheus && chown 65534 /prometheus
USER 65534
ENTRYPOINT ["/usr/bin/prometheus"]
