ARG BASE=python:3.11-slim
FROM ${BASE}
COPY requirements.txt api.py /opt/data-platform/
RUN python -m pip install -q --no-cache-dir -r /opt/data-platform/requirements.txt && useradd --uid 10001 api
USER 10001
EXPOSE 8000
CMD ["python", "/opt/data-platform/api.py"]
