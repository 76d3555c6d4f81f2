"""Which files a job has, and which worker reads which. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from signalbox_contracts.definitions.reprocessing import MAX_FILES, ReprocessingConfig

SUFFIXES = (".ndjson", ".ndjson.gz")


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file as it was listed. `version` is its modification time, or its ETag in S3."""

    path: str
    size: int
    version: str
    done: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    """The checkpoint it starts from: line, offset, stored bytes, sent, skipped, failed."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def sent(self) -> int:
        """Events that the checkpoint counts as sent."""
        return self.done[3]


class JobRefused(Exception):
    """The job cannot run. `field` of the request is wrong; the text says what is allowed."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


def choose_files(found: Sequence[ListedFile], config: ReprocessingConfig) -> list[ListedFile]:
    """The files of a job in the order of their paths. Raises `JobRefused`."""
    where = config.s3_path or config.local_path
    place = "s3_path" if config.s3_path else "local_path"
    files = sorted((file for file in found if file.name.endswith(SUFFIXES)), key=lambda file: file.path)
    if not files:
        raise JobRefused(place, f"there is no file {' or '.join(f'*{suffix}' for suffix in SUFFIXES)} below {where}")
    if config.files:
        wanted = set(config.files)
        missing = wanted - {file.path for file in files} - {file.name for file in files}
        if missing:
            raise JobRefused("files", f"not below {where}: {', '.join(sorted(missing)[:5])}")
        files = [file for file in files if file.path in wanted or file.name in wanted]
    if config.start_file is not None:
        first = next((n for n, file in enumerate(files) if config.start_file in (file.path, file.name)), None)
        if first is None:
            raise JobRefused("start_file", f"{config.start_file} is not among the files of the job")
        files = files[first:]
    if len(files) > MAX_FILES:
        raise JobRefused(place, f"{len(files)} files are below {where}: a job takes at most {MAX_FILES}")
    return files


def assign(sizes: Sequence[int], workers: int, how: Literal["modulo", "balanced"]) -> list[int]:
    """The worker of each file: file i goes to worker i mod N, or the largest file to the worker with the least."""
    if how == "modulo":
        return [index % workers for index in range(len(sizes))]
    loads = [(0, worker) for worker in range(workers)]
    chosen = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        load, worker = min(loads)
        loads[worker] = (load + sizes[index], worker)
        chosen[index] = worker
    return chosen
