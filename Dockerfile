# The image that head, workers and submitter of k8s/ all run: Ray wants one Python and one version
# of itself everywhere. Build from the repository's root; docs/kubernetes.md has the commands.
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim-bookworm AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
# src/treespan holds relative links to the four folders after it: they travel together.
COPY src/ src/
COPY platform/ platform/
COPY jobs/ jobs/
COPY model/ model/
COPY serve/ serve/
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:${PYTHON_VERSION}-slim-bookworm
# wget: KubeRay's readiness probe of serving workers calls it. g++: torch.compile needs it on a CPU.
RUN apt-get update \
    && apt-get install --no-install-recommends --yes g++ wget \
    && rm -rf /var/lib/apt/lists/*

# The dependencies are a layer of their own, so that a change of code does not fetch them again.
# Python's index has CUDA builds of torch for Linux. For the CPU build, gigabytes smaller, pass
# PyTorch's CPU wheel index as this argument; pip reads it from the environment.
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /opt/treespan
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; \
print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt \
    && pip install --no-cache-dir -c constraints.txt -r requirements.txt \
    && rm pyproject.toml requirements.txt
COPY --from=wheel /dist/ /tmp/dist/
RUN pip install --no-cache-dir --no-deps /tmp/dist/*.whl && pip check

# Only recipes, no source: Ray puts the working directory on the path of its workers, where a
# folder called platform or serve would be found under a second name.
COPY recipes/ recipes/

RUN useradd --uid 1000 --create-home treespan
# By number: Kubernetes cannot tell that a name is not root.
USER 1000:1000
ENV PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
CMD ["treespan", "--help"]
