#!/bin/sh
# Correctness and speed of training on one GPU; `run.sh --toy` runs the same on a CPU.
#
# Needs python3 with a CUDA build of torch, and no network: what else is missing comes from wheels/,
# which this fills beforehand on a machine with network, the same Python version and platform:
#
#     pip wheel --no-deps --wheel-dir benchmarks/gpu/wheels -r benchmarks/gpu/requirements.txt
#
# PYTHON chooses another python3. Arguments go to benchmarks.gpu (see its --help).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc)}" HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

"$python" -c 'import torch' || {
    echo "$python has no torch. Install the CUDA build that fits the driver, or set PYTHON." >&2
    exit 2
}
path=$root/src:$root
if [ -d "$here/wheels" ]; then
    # Beside the machine's own packages, of which torch is used as it is.
    packages=$root/.scratch/gpu
    rm -rf "$packages"
    "$python" -m pip install --quiet --no-index --no-deps --find-links "$here/wheels" \
        --target "$packages" -r "$here/requirements.txt"
    path=$path:$packages
fi
cd "$root"
PYTHONPATH=$path exec "$python" -m benchmarks.gpu "$@"
