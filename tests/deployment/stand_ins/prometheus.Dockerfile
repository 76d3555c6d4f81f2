# Prometheus from Debian, called as the official image is.
FROM python:3.11-slim
COPY programs /usr/local/bin
RUN useradd --uid 65534 --non-unique prometheus && install -d -o prometheus /prometheus
USER 65534
ENTRYPOINT ["/usr/local/bin/prometheus"]
