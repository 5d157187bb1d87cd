# The gateway's image: built in one stage, run in another as a user without rights.
# For a read-only root: it writes only to /var/lib/codegrex and /tmp.

FROM python:3.14.10-slim-trixie AS build
# What the image has beside what serving needs: "otel" for traces and metrics of OpenTelemetry.
ARG EXTRAS=""
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/otel.txt requirements/
RUN python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements/build.txt \
 && python -m venv /opt/gateway \
 && /opt/gateway/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements/runtime.txt \
 && for extra in $EXTRAS; do /opt/gateway/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r requirements/"$extra".txt || exit 1; done
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY providers providers
COPY metering metering
COPY benchmarks benchmarks
COPY docs docs
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/gateway/bin/python -m pip install --no-cache-dir --no-index --no-deps /dist/*.whl \
 && /opt/gateway/bin/python -m pip uninstall --yes pip setuptools

FROM python:3.14.10-slim-trixie
RUN groupadd --system --gid 10001 codegrex \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/codegrex --shell /usr/sbin/nologin codegrex \
 && install -d -o codegrex -g codegrex -m 0700 /var/lib/codegrex
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    CODEGREX_CONFIG=/etc/codegrex/gateway.toml
USER 10001:10001
WORKDIR /var/lib/codegrex
VOLUME ["/var/lib/codegrex"]
EXPOSE 8080
STOPSIGNAL SIGTERM
# By http.client, because urllib would use a proxy of the environment.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 9090, timeout=2); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["codegrex-gateway"]
CMD ["serve"]
