# A NameNode or DataNode of Apache Hadoop, set up by variables as the images bde2020/hadoop-* are.
FROM python:3.11-slim
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless curl \
 && rm -rf /var/lib/apt/lists/*
COPY libs /opt/hadoop/libs
COPY hadoop-entrypoint.sh /entrypoint.sh
ARG ROLE
ENV ROLE=${ROLE}
ENTRYPOINT ["/bin/bash", "/entrypoint.sh"]
