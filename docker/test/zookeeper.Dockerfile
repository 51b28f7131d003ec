# Where no registry of images can be reached: a ZooKeeper as the official image has it, on a Debian with Java.
ARG BASE
FROM ${BASE}
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY jars /opt/zookeeper
RUN useradd --uid 1000 zookeeper && mkdir -p /data /logs && chown 1000 /data /logs
USER 1000
CMD ["java", "-Xmx128m", "-cp", "/opt/zookeeper/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", "/conf/zoo.cfg"]
