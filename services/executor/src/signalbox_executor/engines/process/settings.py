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
    process_user: str = Field(
        default="",
        pattern=r"^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,10})?$",
        json_schema_extra=allowed("an account's name, or a number that needs no account"),
    )
    """Who programs run as. Empty: as the executor, which a run can then read and stop. Required when the executor is
    root; `0` says that programs shall be root as well. Another user than its own needs an executor that is root."""
    process_variables: str = Field(
        default="",
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*\*?(,[A-Za-z_][A-Za-z0-9_]*\*?)*)?$",
        json_schema_extra=allowed("names separated by commas, `*` at the end for all that begin so"),
    )
    """Environment variables that work may set. Empty: any but those that loaders, shells and interpreters read."""
    process_keep_days: float = Field(default=14.0, ge=1, le=400)
    """Days the folder of a run is kept after its end. Longer than engines' `key_retention_seconds`: it is the key."""
