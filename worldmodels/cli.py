"""What the commands share: Hydra, logging, exit codes. Light to import: worker processes import the commands."""

import functools
import logging
import multiprocessing
import os
import re
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from worldmodels.__main__ import COMMANDS
from worldmodels.config import conf_dir, register_schema, to_config
from worldmodels.migrations import RENAMED
from worldmodels.training.config import ELSEWHERE, TrainerConfig
from worldmodels.utils import interrupts, streams, sweeps
from worldmodels.utils.composing import in_our_words
from worldmodels.utils.cores import usable_cores
from worldmodels.utils.disk import explained, folder_settings, no_folder, remove_empty_folders, trouble
from worldmodels.utils.errors import ConfigError, Failure, chain
from worldmodels.utils.help import list_groups_at_once, settings_help
from worldmodels.utils.launchers import marked_running, share_of_cores
from worldmodels.utils.logs import quiet_lightning
from worldmodels.utils.orphans import leave_with_parent
from worldmodels.utils.overrides import flags_first, require_options, spelled_out
from worldmodels.utils.settings import declared
from worldmodels.utils.sweeps import SweepRefused, check_jobs_first, remove_refused
from worldmodels.utils.words import or_meant

log = logging.getLogger(__name__)
USAGE = (ConfigError, HydraException, OmegaConfBaseException)
INTERRUPTED = 130
_BEGUN = time.time() - 1  # a file system may keep whole seconds
_known: list[str] = []  # settings of the command that runs


def command(config_name: str, task: Callable[[DictConfig], Any], schema_name: str, schema: type) -> NoReturn:
    """Run ``task`` as a Hydra application and exit: 0 done, 1 failed, 2 the request makes no sense, 130 interrupted."""
    streams.use_utf8()
    streams.prepare()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print errors itself and exit with 1
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # nothing is shown, and no display is looked for
    logging.raiseExceptions = False  # a log that cannot be written, say to a full disk, fails nothing by itself
    threading.excepthook = _thread_failed
    register_schema(schema_name, schema)
    if "paths" not in get_type_hints(schema):
        folder_settings.remove("paths.outputs")
    _known[:] = schema.__dataclass_fields__
    OmegaConf.register_new_resolver(
        "settings", lambda indent, *, _root_: settings_help(schema, int(indent), _root_), replace=True
    )
    interrupts.install()
    check_jobs_first(to_config, one_line)
    list_groups_at_once()
    started: list[bool] = []
    application: Any = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(
        _guarded(task, started)
    )
    try:
        require_options(sys.argv[1:], schema, conf_dir())
        sys.argv[1:] = flags_first(spelled_out(_verbose(sys.argv[1:], schema), schema))
        application()
    except (Exception, KeyboardInterrupt) as error:
        _tell_sweeps()
        code = _explain(error, composing=not started)
        if code == 2:
            remove_refused()
        sys.exit(code)
    _tell_sweeps()
    sys.exit(0)


def _verbose(arguments: list[str], schema: type) -> list[str]:
    """``--verbose`` as the setting that it is."""
    if "verbose" not in getattr(schema, "__dataclass_fields__", {}):
        return arguments
    return ["verbose=true" if argument == "--verbose" else argument for argument in arguments]


def _tell_sweeps() -> None:
    """The last lines of a sweep."""
    if swept := sweeps.folders():
        from worldmodels.store.sweep_table import print_sweep
        from worldmodels.utils.console import make_console

        for folder in swept:
            print_sweep(folder, make_console())


def _guarded(task: Callable[[DictConfig], Any], started: list[bool]) -> Callable[[DictConfig], Any]:
    """Explain a job's failure while its log is open. A sweep goes on with its other jobs, and fails at its end. What is
    refused leaves no folder.
    """

    @functools.wraps(task)
    def guarded(composed: DictConfig) -> Any:
        started.append(True)
        leave_with_parent()
        job = HydraConfig.get()
        if job.mode != RunMode.MULTIRUN:
            try:
                return task(composed)
            except Exception as error:
                code = _explain(error)
                if code == 2:
                    logging.shutdown()
                    remove_empty_run(Path(job.runtime.output_dir))
                sys.exit(code)
        in_worker = multiprocessing.current_process().name != "MainProcess"
        if in_worker:  # of a parallel launcher: a Ctrl-C reaches it too, and the parent tells of it
            interrupts.install()
            logging.raiseExceptions = False
        try:
            sweeps.begun(Path(job.sweep.dir))
            with marked_running(Path(job.sweep.dir), job.job.num):
                return task(composed)
        except KeyboardInterrupt:
            if in_worker:
                os._exit(INTERRUPTED)
            raise
        except Exception as error:
            if not interrupts.requested() and _explain(error, f"job {job.job.num} of the sweep: ") == 2:
                remove_empty_run(Path(job.runtime.output_dir))
            raise _marked_explained(error) from None
        finally:
            if in_worker:
                interrupts.leave_at_once(INTERRUPTED)  # idle again

    return guarded


def _marked_explained(error: Exception) -> Exception:
    """The failure of a sweep's job, explained: Hydra raises the first of them at the sweep's end."""
    error.__dict__["explained"] = True
    return error


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Nothing where a library's thread could not write: the main thread fails with the same error."""
    if failure.exc_value is None or trouble(failure.exc_value) is None:
        threading.__excepthook__(failure)


def remove_empty_run(folder: Path) -> None:
    """Remove the folders that were made for a refused request, up to the working folder. What holds anything besides
    Hydra's notes and what this command logs stays: results of a run's first rounds, and whatever was in a folder that
    the user has named, logs of an earlier run too.
    """
    folder = folder.resolve()  # a link or .. may lead to the working folder
    if Path.cwd().is_relative_to(folder):
        return
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    if all(_is_a_log(path.relative_to(folder)) and path.lstat().st_mtime >= _BEGUN for path in files):
        shutil.rmtree(folder, ignore_errors=True)
        remove_empty_folders(folder)


def _is_a_log(path: Path) -> bool:
    """Whether a file of a run's folder tells nothing but how the run began."""
    log_of_a_command = path.suffix == ".log" and path.stem in COMMANDS
    of_loggers = path.name == "hparams.yaml" or path.name.startswith("events.out.tfevents")  # Lightning's
    return ".hydra" in path.parts or log_of_a_command or of_loggers


def _explain(error: BaseException, job: str = "", composing: bool = False) -> int:
    """Say what went wrong, on standard error or with its traceback in the log. Returns the exit code. Any error while
    ``composing`` the config is the request's fault, unless the disk cannot be written to. ``job``: names the job of a
    sweep.
    """
    if interrupts.requested() or isinstance(error, KeyboardInterrupt):
        print("interrupted: a training job keeps what is finished, and the same command goes on", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, SweepRefused):
        for line in error.lines:
            print(f"error: {line}", file=sys.stderr)
        return 2
    failure = next((cause for cause in chain(error) if isinstance(cause, Failure)), None)
    usage = failure is None and isinstance(error, USAGE)
    if getattr(error, "explained", False):
        print("error: not every job of the sweep succeeded: each that failed is named above", file=sys.stderr)
        return 2 if usage else 1
    if failure is None and not usage and (problem := trouble(error)):
        path = problem[1] or (HydraConfig.get().runtime.output_dir if HydraConfig.initialized() else Path.cwd())
        failure = Failure(explained("what a run leaves", path, problem[0]))
    if failure is not None:
        log.debug("failed", exc_info=error)
        print(f"error: {job}{' '.join(str(failure).split())}", file=sys.stderr)
        return 1
    if composing and not usage and isinstance(error, OSError) and error.filename:
        error = ConfigError(no_folder(_folder_setting(error), error))
    if composing or usage:
        print(f"error: {job}{one_line(error)}", file=sys.stderr)
        return 2
    log.critical("%sfailed", job, exc_info=error)
    return 1


def _folder_setting(error: OSError) -> str:
    """What the user wrote that chose the folder of a run; the folder itself where it is the default."""
    for key in ("hydra.sweep.dir", "hydra.run.dir", "paths.outputs"):
        for override in reversed(sys.argv[1:]):  # the last one holds; Hydra has forgotten the rest
            if override.startswith(f"{key}="):
                return override.replace("'", "")
    return str(error.filename)


def one_line(error: BaseException) -> str:
    """An error of ours as it is; one of Hydra's or OmegaConf's in a line that says what to do."""
    if ours := next((cause for cause in chain(error) if isinstance(cause, ConfigError)), None):
        return " ".join(str(ours).split())
    if missing := re.search(r"[Mm]issing mandatory value: (\w+)", str(error)):
        return f"{missing[1]} is not set: expected a value; add {missing[1]}=… to the command"
    if old := next((key for key in RENAMED if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", str(error))), None):
        return f"{old} is called {RENAMED[old]} now: expected the new name; write {RENAMED[old]}=…"
    if flag := re.search(r"Key '(\w+)' (?:is not in|not in) 'TrainerConfig'", f"{error} {error.__cause__}"):
        return _unknown_flag(flag[1])
    if line := in_our_words(error):
        return line
    unknown = re.search(r"(?:Could not override|Key) '([^']+)'(?:\.| not in )", str(error))
    if unknown and not re.search(r"\btrain(\.py)?$", sys.argv[0]):  # whose own line, below, tells of groups
        expected = f"one of {', '.join(_known)}" if _known else "one that --help lists"
        return f"{unknown[1]} is no setting of this command: expected {expected}{or_meant(unknown[1], _known)}"
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
    flags = list(declared(TrainerConfig))
    return (
        f"trainer.{name} is no flag of Lightning's Trainer that is known here: expected one of {', '.join(flags)}"
        f"{or_meant(name, flags)}"
    )


def prepare_process(threads: int | None = None) -> int:
    """Set the threads of this process. Returns its share of the cores: all of them, or a part in a parallel sweep."""
    import cv2
    import torch

    share = share_of_cores(HydraConfig.get().launcher) if HydraConfig.initialized() else usable_cores()
    torch.set_num_threads(threads or share)
    cv2.setNumThreads(1)
    quiet_lightning()
    warnings.filterwarnings("ignore", module="pygame")
    return share
