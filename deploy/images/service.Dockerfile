# One image per service: build it from the checkout's root with --build-arg SERVICE=users (payments, stats,
# bookings-gateway), which is the folder in services/ and the command in one.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
ARG SERVICE
WORKDIR /source
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
COPY requirements.lock pyproject.toml ./
COPY shared shared
COPY services services
COPY deploy/local deploy/local
RUN test -n "${SERVICE}" \
    && uv build --wheel --out-dir /wheels shared \
    && uv build --wheel --out-dir /wheels "services/${SERVICE}"
# The lock is given as constraints: of everything in it, what this service needs is installed, in the locked version
# and with the locked hash.
RUN uv venv --quiet /app \
    && uv pip install --no-cache --python /app/bin/python --constraint requirements.lock /wheels/*.whl \
    && ln -s "${SERVICE}" /app/bin/service

FROM ${PYTHON}
ARG PORT
ENV PATH=/app/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    READY_URL=http://127.0.0.1:${PORT}/health/ready
COPY --from=build /app /app
COPY deploy/images/healthcheck.py /app/healthcheck.py
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s --retries=6 CMD ["python", "/app/healthcheck.py"]
ENTRYPOINT ["/app/bin/service"]
CMD ["serve"]
