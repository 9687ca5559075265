# The worker: torch and everything. For CUDA, start from an image that carries the driver libraries.
FROM python:3.12-slim
WORKDIR /srv
COPY pyproject.toml README.md ./
COPY app app
COPY worker worker
COPY inspector inspector
COPY backbones backbones
COPY migrations migrations
RUN pip install --no-cache-dir . \
    && useradd --create-home --uid 10001 clipvet && mkdir /data && chown clipvet /data
USER clipvet
ENV CLIPVET_DATA_DIR=/data
# SIGTERM gives the running job back to the queue.
STOPSIGNAL SIGTERM
CMD ["clipvet", "worker"]
