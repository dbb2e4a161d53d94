"""Which trackers a configuration asks for, whether they can be used, and their sinks."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import ray

from treespan.jobs.train.config import MetricsConfig
from treespan.jobs.train.metrics.mlflow_writer import MlflowWriter
from treespan.jobs.train.metrics.ray_writer import RayWriter
from treespan.jobs.train.metrics.sink import FigureSink, Sink, Writer
from treespan.jobs.train.metrics.tensorboard_writer import TensorBoardWriter
from treespan.jobs.train.metrics.throughput import RunFacts
from treespan.jobs.train.metrics.wandb_writer import WandbWriter
from treespan.platform.errors import UserError


def prepared(config: MetricsConfig) -> MetricsConfig:
    """``config`` for workers: local folders become absolute. To be called before they start.

    Raises ``UserError`` where a package is missing for what it asks for.
    """
    folder, server = config.tensorboard, config.mlflow_uri
    if folder is not None:
        _check_folder(folder)
        if "://" not in folder:
            folder = str(Path(folder).expanduser().absolute())
    if config.wandb_project is not None:
        _need("wandb", "train.metrics.wandb_project", "'treespan[wandb]'")
    if server is not None:
        _need("mlflow", "train.metrics.mlflow_uri", "'treespan[mlflow]'")
        if "://" not in server:
            server = Path(server).expanduser().absolute().as_uri()
    return config.model_copy(update={"tensorboard": folder, "mlflow_uri": server})


def open_sinks(
    config: MetricsConfig, run: RunFacts, say: Callable[[str], None] | None = None
) -> list[Sink]:
    """A sink for each tracker of ``config``, and one for Ray's metrics inside of Ray.

    ``say`` takes what a person should know of a tracker that fails; by default it is logged. Raises
    ``UserError`` where a package or a key is missing; later errors end a sink, not the training.
    """
    config = prepared(config)
    openers: dict[str, Callable[[int], Writer]] = {}
    if ray.is_initialized():
        openers["Ray's metrics"] = partial(RayWriter, run)
    if config.tensorboard is not None:
        openers["TensorBoard"] = partial(TensorBoardWriter, config.tensorboard, run)
    if config.wandb_project is not None:
        _check_key()
        openers["Weights & Biases"] = partial(WandbWriter, config.wandb_project, run)
    if config.mlflow_uri is not None:
        openers["MLflow"] = partial(MlflowWriter, config.mlflow_uri, run)
    say = say or logging.getLogger(__name__).warning
    return [
        FigureSink(name, opener, run, config.every_steps, say) for name, opener in openers.items()
    ]


def _need(module: str, setting: str, package: str) -> None:
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # of a package that would hold it
        found = None
    if found is None:
        raise UserError(
            f"{setting} needs the package {module}, which is not installed.",
            f"Install it where workers run: pip install {package}. Or leave the setting out.",
        )


def _check_folder(folder: str) -> None:
    """What tensorboardX can write to: a local folder, S3 and GCS, each by its own library."""
    setting = "train.metrics.tensorboard"
    scheme = folder.partition("://")[0] if "://" in folder else ""
    if scheme == "s3":
        _need("boto3", f"{setting} on S3", "boto3")
    elif scheme == "gs":
        _need("google.cloud.storage", f"{setting} on GCS", "google-cloud-storage")
    elif scheme:
        raise UserError(f"{setting} cannot write to {folder}.", "Give a folder, s3:// or gs://.")
    if scheme and "?" in folder:
        raise UserError(
            f"{setting} takes no options in a URI: {folder}.",
            "Name another S3 server by the variable S3_ENDPOINT.",
        )


def _check_key() -> None:
    """wandb would ask for a key at the terminal, which a worker has not got."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    if not os.environ.get("WANDB_API_KEY") and not netrc.exists():
        raise UserError(
            "train.metrics.wandb_project is set, and no key for Weights & Biases is there.",
            "Set WANDB_API_KEY where workers run, or WANDB_MODE=offline to keep figures in files.",
        )
