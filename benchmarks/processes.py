"""Packages to measure, and one measurement in a process of its own with limits of time, memory and threads."""

import importlib.util
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",  # the threads of a Rust core
)
PEER_VARIABLE = "LMM_BENCHMARK_PEER"


@dataclass(frozen=True)
class Package:
    """A package, the command that measures it, and its version with those of its interpreter and BLAS."""

    name: str
    command: tuple[str, ...]
    versions: str


@dataclass(frozen=True)
class Job:
    """
    What to measure.

    Attributes
    ----------
    kind : {"fit", "predict", "profile", "import", "phases", "bootstrap", "responses", "loop"}
    data : Path or None
    formula : str
    reml : bool
    new_data : Path or None
        Rows to predict, or responses to fit.
    threads : int
    replicates : int
        Of a bootstrap.
    """

    kind: str
    data: Path | None = None
    formula: str = ""
    reml: bool = True
    new_data: Path | None = None
    threads: int = 1
    replicates: int = 0


@dataclass(frozen=True)
class Limits:
    """Seconds to spend on repeats, seconds from which a fit is long, seconds and GiB after which it is stopped."""

    seconds: float = 1.0
    long: float = 10.0
    timeout: float = 600.0
    memory: float = 12.0


@dataclass(frozen=True)
class Outcome:
    """Median time in seconds, peak memory in MiB, and what the fit reached; or why there is none."""

    seconds: float = float("nan")
    memory: float = float("nan")
    objective: float | None = None
    evaluations: int | None = None
    converged: bool = True
    failure: str = ""
    record: tuple[tuple[str, tuple[str, ...]], ...] = ()


def find_packages(python_peer: str | None) -> list[Package]:
    """Give lmm, lme4 if Rscript has it, and mixedlm if this interpreter or the given one has it."""
    worker = str(HERE / "worker.py")
    packages = [Package("lmm", (sys.executable, worker, "lmm"), f"lmm {version('lmm')}; {_python_versions()}")]
    rscript = shutil.which("Rscript")
    if rscript:
        ask = 'cat(R.version$major, ".", R.version$minor, " ", La_library(), " ", sep = "")'
        found = _output([rscript, "-e", f'{ask}; cat(as.character(packageVersion("lme4")))']).split()
        if found:
            versions = f"lme4 {found[2]}; R {found[0]}, BLAS {Path(found[1]).stem}"
            packages.append(Package("lme4", (rscript, str(HERE / "worker.R")), versions))
    python_peer = python_peer or os.environ.get(PEER_VARIABLE)
    if importlib.util.find_spec("mixedlm"):
        python_peer = sys.executable
    if python_peer:
        ask = "from importlib.metadata import version as v; import sys, numpy; "
        ask += "print(v('mixedlm'), sys.version.split()[0], numpy.__version__)"
        found = _output([python_peer, "-c", ask]).split()
        if not found:
            raise SystemExit(f"{python_peer} does not run, or has no mixedlm")
        versions = f"mixedlm {found[0]}; Python {found[1]}, numpy {found[2]}"
        packages.append(Package("mixedlm", (python_peer, worker, "mixedlm"), versions))
    return packages


def machine() -> str:
    """Kind of machine: cores, processor, memory, system."""
    processor = platform.processor() or platform.machine()
    memory = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
        total = Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]
        memory = f"{int(total) / 2**20:.0f} GiB, "
    except OSError:
        pass
    return f"{os.cpu_count()} cores, {processor}, {memory}{platform.system()}"


def run(package: Package, job: Job, limits: Limits) -> Outcome:
    """Measure in a new process."""
    arguments = [
        job.kind,
        str(job.data or "-"),
        job.formula or "-",
        str(int(job.reml)),
        str(limits.seconds),
        str(limits.long),
        str(job.new_data or "-"),
        str(job.replicates),
    ]
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(job.threads)), "PYTHONWARNINGS": "ignore"}
    n_bytes = int(limits.memory * 2**30)
    try:
        done = subprocess.run(  # noqa: S603 - the commands are those of `find_packages`
            [*package.command, *arguments],
            env=environment,
            timeout=limits.timeout,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes)),
        )
    except subprocess.TimeoutExpired:
        return Outcome(failure=f"stopped after {limits.timeout:.0f} s")
    record = _parse(done.stdout)
    if done.returncode != 0 or ("seconds" not in record and "failure" not in record):
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        return Outcome(failure=f"ended with status {done.returncode}: {last}")
    return _outcome(record, limits)


def interleaved(packages: Sequence[Package], job: Job, limits: Limits, repeats: int, title: str) -> dict[str, Outcome]:
    """Measure packages in turn, several times; one that fails or is slow is measured once."""
    outcomes: dict[str, list[Outcome]] = {package.name: [] for package in packages}
    for _ in range(repeats):
        for package in packages:
            known = outcomes[package.name]
            if known and (known[-1].failure or known[-1].seconds >= limits.long):
                continue
            outcome = run(package, job, limits)
            known.append(outcome)
            said = outcome.failure or f"{1e3 * outcome.seconds:,.2f} ms, objective {outcome.objective}"
            print(f"{title:20} {package.name:8} {said}", file=sys.stderr, flush=True)
    return {name: combine(several) for name, several in outcomes.items()}


def combine(outcomes: Sequence[Outcome]) -> Outcome:
    """Median of the times of several processes, their largest memory, and the rest from the last."""
    good = [outcome for outcome in outcomes if not outcome.failure]
    if not good:
        return outcomes[-1]
    last = good[-1]
    return Outcome(
        seconds=statistics.median(outcome.seconds for outcome in good),
        memory=max(outcome.memory for outcome in good),
        objective=last.objective,
        evaluations=last.evaluations,
        converged=last.converged,
        record=last.record,
    )


def _parse(text: str) -> dict[str, tuple[str, ...]]:
    """Lines ``name: values`` of a worker."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: tuple(values.split()) for name, values in pairs}


def _outcome(record: dict[str, tuple[str, ...]], limits: Limits) -> Outcome:
    """Read the numbers of a worker."""
    memory = float(record.get("memory", ("nan",))[0])
    if "failure" in record:
        message = " ".join(record["failure"])
        if "MemoryError" in message or "cannot allocate" in message:
            message = f"more than {limits.memory:g} GiB needed"
        return Outcome(memory=memory, failure=message)
    return Outcome(
        seconds=statistics.median(map(float, record["seconds"])),
        memory=memory,
        objective=float(record["objective"][0]) if "objective" in record else None,
        evaluations=int(record["evaluations"][0]) if "evaluations" in record else None,
        converged=record.get("converged", ("1",))[0] == "1",
        record=tuple(record.items()),
    )


def _python_versions() -> str:
    """Versions of Python, numpy and its BLAS."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    python = platform.python_version()
    numbers = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "pandas"))
    return f"Python {python}, {numbers}, BLAS {blas['name']} {blas['version']}"


def _output(command: list[str]) -> str:
    """Print-out of a command; empty if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
