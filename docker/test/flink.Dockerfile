# Where no registry of images can be reached: what the official image of Flink has, on a Debian with Java.
ARG BASE
FROM ${BASE}
ENV PATH=/opt/flink/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin FLINK_HOME=/opt/flink
COPY flink /opt/flink
RUN useradd --uid 9999 --home-dir /opt/flink flink
