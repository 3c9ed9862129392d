# One image for every process of ours; docker-compose.yml says which command each one runs.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
WORKDIR /build
# There is one lock, and it names the tools of development too: the image carries pytest and mypy beside what it needs,
# and runs exactly the packages that were tested. (It also carries the embedded engines, which nothing here starts.)
COPY requirements.lock ./
RUN /opt/venv/bin/pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md ./
COPY api api
COPY models models
COPY ops ops
COPY runtime runtime
COPY schedules schedules
COPY workers workers
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation . \
    && /opt/venv/bin/python -m compileall -q /opt/venv/lib

FROM python:3.11-slim
# The base image has no compiler, and none is added: every locked package comes as a wheel.
RUN useradd --system --uid 10001 --no-create-home --home-dir /tmp orders \
    && install --directory --owner orders --mode 0700 /var/lib/orders
COPY --from=build /opt/venv /opt/venv
# Bytecode was compiled above; with a read-only root nothing is written outside /tmp and mounted volumes.
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /
USER orders
CMD ["orders", "serve", "--host", "0.0.0.0", "--port", "8000"]
