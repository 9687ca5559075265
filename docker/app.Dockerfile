# The API: no torch. Also runs the migrations (command: clipvet migrate).
FROM python:3.12-slim
# Pango sets the text of report.pdf.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /srv
COPY pyproject.toml README.md ./
COPY docker/app_requirements.py docker/
RUN python docker/app_requirements.py > /tmp/requirements.txt \
    && pip install --no-cache-dir -r /tmp/requirements.txt
COPY app app
COPY worker worker
COPY inspector inspector
COPY migrations migrations
RUN pip install --no-cache-dir --no-deps . \
    && useradd --create-home --uid 10001 clipvet && mkdir /data && chown clipvet /data \
    && mkdir --mode 700 /keys && chown clipvet /keys
USER clipvet
# The keys that sign verdicts: a volume of their own, for the API alone.
ENV CLIPVET_DATA_DIR=/data CLIPVET_SIGNING_KEYS=/keys
EXPOSE 8000
CMD ["clipvet", "api", "--host", "0.0.0.0", "--port", "8000"]
