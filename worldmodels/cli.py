"""What the commands share: Hydra, logging, exit codes. Light to import: worker processes import the commands."""

import functools
import logging
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from worldmodels.config import conf_dir, register_schema
from worldmodels.migrations import RENAMED
from worldmodels.training.config import ELSEWHERE, TrainerConfig
from worldmodels.utils import interrupts
from worldmodels.utils.cores import usable_cores
from worldmodels.utils.errors import ConfigError, DamagedFile, TrainingDiverged
from worldmodels.utils.help import settings_help
from worldmodels.utils.orphans import leave_with_parent
from worldmodels.utils.overrides import spelled_out
from worldmodels.utils.settings import declared

log = logging.getLogger(__name__)
USAGE = (ConfigError, HydraException, OmegaConfBaseException)
FAILURES = (DamagedFile, TrainingDiverged)  # told in a line, without a traceback


def command(config_name: str, task: Callable[[DictConfig], Any], schema_name: str, schema: type) -> NoReturn:
    """Run ``task`` as a Hydra application and exit: 0 done, 1 failed, 2 the request makes no sense, 130 interrupted."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print errors itself and exit with 1
    register_schema(schema_name, schema)
    OmegaConf.register_new_resolver("settings", lambda indent: settings_help(schema, int(indent)), replace=True)
    sys.argv[1:] = spelled_out(sys.argv[1:], schema)
    interrupts.install()
    started: list[bool] = []
    application: Any = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(
        _guarded(task, started)
    )
    try:
        application()
    except (Exception, KeyboardInterrupt) as error:
        sys.exit(_explain(error, composing=not started))
    sys.exit(0)


def _guarded(task: Callable[[DictConfig], Any], started: list[bool]) -> Callable[[DictConfig], Any]:
    """Explain a single job's failure while its log is open; a sweep goes on with its other jobs, and fails at its
    end.
    """

    @functools.wraps(task)
    def guarded(composed: DictConfig) -> Any:
        started.append(True)
        leave_with_parent()
        try:
            return task(composed)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                if not isinstance(error, (*USAGE, *FAILURES)):
                    log.critical("failed", exc_info=error)
                raise
            code = _explain(error)
            if code == 2:
                logging.shutdown()
                remove_empty_run(Path(HydraConfig.get().runtime.output_dir))
            sys.exit(code)

    return guarded


def remove_empty_run(folder: Path) -> None:
    """Take back the folders that were made for a request that made no sense."""
    if not (folder / "results.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for parent in folder.parents:
            try:
                parent.rmdir()
            except OSError:
                break


def _explain(error: BaseException, composing: bool = False) -> int:
    """Say what went wrong, on standard error or with its traceback in the log. Returns the exit code. What goes wrong
    while ``composing`` the config is the request's fault, whatever its type.
    """
    if interrupts.requested() or isinstance(error, KeyboardInterrupt):
        print("interrupted: a training job keeps what is finished, and the same command goes on", file=sys.stderr)
        return 130
    if isinstance(error, BrokenPipeError):  # the reader of our output, say "head", has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if composing or isinstance(error, USAGE):
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    if isinstance(error, FAILURES):
        print(f"error: {error}", file=sys.stderr)
    else:
        log.critical("failed", exc_info=error)
    return 1


def one_line(error: BaseException) -> str:
    """An error of ours as it is; one of Hydra's or OmegaConf's in a line that says what to do."""
    if isinstance(error, ConfigError):
        return " ".join(str(error).split())
    if missing := re.search(r"[Mm]issing mandatory value: (\w+)", str(error)):
        return f"{missing[1]} is not set: expected a value; add {missing[1]}=… to the command"
    if old := next((key for key in RENAMED if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", str(error))), None):
        return f"{old} is called {RENAMED[old]} now: expected the new name; write {RENAMED[old]}=…"
    if flag := re.search(r"Key '(\w+)' (?:is not in|not in) 'TrainerConfig'", f"{error} {error.__cause__}"):
        return _unknown_flag(flag[1])
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(line for line in lines if not re.match(r"(full_key|object_type|reference_type)[:=]", line))
    text = re.sub(r"To append to your config use \S+", "", text)
    cause = error.__cause__
    if cause is not None and str(cause).splitlines()[0] not in text:
        text += f" ({str(cause).splitlines()[0]})"
    return f"{' '.join(text.split()).rstrip('.')}; --help lists the groups and --cfg job every key"


def _unknown_flag(name: str) -> str:
    if name in ELSEWHERE:
        return f"trainer.{name} is set elsewhere here: expected {ELSEWHERE[name]}"
    known = ", ".join(declared(TrainerConfig))
    return f"trainer.{name} is no flag of Lightning's Trainer that is known here: expected one of {known}"


def prepare_process(threads: int | None = None) -> int:
    """Set the threads of this process. Returns its share of the cores: all of them, or a part in a parallel sweep."""
    import cv2
    import torch

    jobs = OmegaConf.select(HydraConfig.get().launcher, "n_jobs") if HydraConfig.initialized() else None
    share = 1 if jobs == -1 else max(1, usable_cores() // (jobs or 1))
    torch.set_num_threads(threads or share)
    cv2.setNumThreads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="pygame")
    return share
