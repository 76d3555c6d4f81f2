FROM python:3.11-slim
COPY programs /usr/local/bin
RUN useradd --uid 999 redis
USER redis
CMD ["redis-server", "--bind", "0.0.0.0"]
