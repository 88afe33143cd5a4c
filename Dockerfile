# One image for the code location, the webserver, the daemon and the commands.
FROM python:3.12-slim

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY crm_pipeline ./crm_pipeline
RUN pip install --no-cache-dir --constraint constraints.txt .

RUN useradd --create-home --uid 10001 crm \
    && mkdir -p /opt/dagster/storage \
    && chown -R crm:crm /opt/dagster
COPY dagster.yaml /opt/dagster/dagster.yaml
COPY deploy/workspace.yaml /opt/dagster/workspace.yaml

ENV DAGSTER_HOME=/opt/dagster PYTHONUNBUFFERED=1
USER crm
CMD ["crm-pipeline", "--help"]
