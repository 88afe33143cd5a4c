# One image for the code location, the webserver, the daemon, the API and the commands.
FROM python:3.12-slim

WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
# What it depends on changes seldom: a layer of its own.
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > /tmp/dependencies.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement /tmp/dependencies.txt
COPY crm_pipeline ./crm_pipeline
RUN pip install --no-cache-dir --no-deps .

# Folders that volumes are mounted on belong to the user who writes there.
RUN useradd --create-home --uid 10001 crm \
    && mkdir -p /opt/dagster/storage /var/lib/sandbox \
    && chown -R crm:crm /opt/dagster /var/lib/sandbox
COPY dagster.yaml /opt/dagster/dagster.yaml
COPY deploy/workspace.yaml /opt/dagster/workspace.yaml

ENV DAGSTER_HOME=/opt/dagster PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER crm
CMD ["crm-pipeline", "--help"]
