# Apache Kafka where the official image has it: /opt/kafka.
FROM python:3.11-slim
COPY java /opt/java
COPY libs /opt/kafka/libs
COPY kafka-run.sh /opt/kafka/bin/kafka-storage.sh
COPY kafka-run.sh /opt/kafka/bin/kafka-server-start.sh
COPY kafka-run.sh /opt/kafka/bin/kafka-configs.sh
COPY kafka-run.sh /opt/kafka/bin/kafka-acls.sh
RUN chmod 0755 /opt/kafka/bin/* && useradd --uid 1000 appuser && install -d -o appuser -g appuser /var/lib/kafka/data
VOLUME /var/lib/kafka/data
USER appuser
