# Apache Spark where the official image has it: /opt/spark, run as user 185.
FROM python:3.11-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless procps \
 && rm -rf /var/lib/apt/lists/* && useradd --uid 185 --create-home spark
COPY spark /opt/spark
ENV SPARK_HOME=/opt/spark
USER 185
