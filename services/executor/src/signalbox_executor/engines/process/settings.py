"""Settings of process engines."""

from pydantic import Field

from signalbox_chassis.settings import allowed
from signalbox_executor.engines.kind import EngineSettings

_PATHS = r"^(/[^,]*(,/[^,]*)*)?$"
_PATHS_WORDS = allowed("absolute paths, separated by commas")


class ProcessEngineSettings(EngineSettings):
    process_folder: str = Field(default="", pattern=r"^(/.*)?$", json_schema_extra=allowed("an absolute path"))
    """Where the runs of process engines are kept, on a local disk. Empty: this executor runs no processes."""
    process_programs: str = Field(default="", pattern=_PATHS, json_schema_extra=_PATHS_WORDS)
    """Programs that process engines may start, as absolute paths separated by commas. An interpreter on the list is as
    good as a shell."""
    process_working_folders: str = Field(default="", pattern=_PATHS, json_schema_extra=_PATHS_WORDS)
    """Folders that processes may work in, and below, as absolute paths separated by commas. Without one a process works
    in the folder of its run."""
    process_keep_days: float = Field(default=14.0, ge=1, le=400)
    """Days the folder of a run is kept after its end. Longer than engines' `key_retention_seconds`: it is the key."""
