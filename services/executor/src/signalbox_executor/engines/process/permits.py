"""What the operator allows to run here, and the check of a submission against it. Pure but for looking at paths.

There is no shell anywhere: a program is started with its arguments as they are. An interpreter on the list is as
good as a shell, though: whoever allows `/bin/sh` allows everything.
"""

import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signalbox_contracts.definitions.work import ProcessWork
from signalbox_executor.engines.port import EngineRefused, Submission
from signalbox_executor.engines.process import records

TEXT_BYTES: Final = 128 * 1024 - 1
"""Linux takes no longer single argument (MAX_ARG_STRLEN, execve(2))."""
ALL_BYTES: Final = 1024 * 1024
"""Arguments and environment together; Linux allows at least 2 MiB with the usual stack limit."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RUN_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_OURS: Final = ("SIGNALBOX_", "TRACEPARENT", "LD_")
"""Names that start so cannot be set by work: the first two are ours, the last loads code into an allowed program."""


_READ_BY_LOADERS: Final = frozenset({
    "PATH", "HOME", "ENV", "IFS", "PS4", "CDPATH", "GLOBIGNORE", "SHELLOPTS", "BROWSER", "EDITOR", "VISUAL", "PAGER",
    "CLASSPATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JAVA_OPTS", "JAVA_HOME", "ZDOTDIR",
    "INPUTRC",
    "GCONV_PATH", "GETCONF_DIR", "LOCPATH", "NLSPATH", "HOSTALIASES", "RESOLV_HOST_CONF", "LOCALDOMAIN", "RES_OPTIONS",
    "TERMINFO", "TERMCAP", "AWKPATH", "AWKLIBPATH", "SHELL", "MAKEFLAGS", "LESSOPEN", "LESSCLOSE", "MANPAGER", "TMPDIR",
    "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES", "SSLKEYLOGFILE", "R_HOME", "R_PROFILE", "R_PROFILE_USER",
    "PSQLRC", "PGSYSCONFDIR", "MYSQL_HOME", "ODBCINI", "ODBCSYSINI", "ODBCINSTINI", "TNS_ADMIN", "ORACLE_HOME",
    "KUBECONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "BOTO_CONFIG", "DOCKER_CONFIG", "GNUPGHOME",
    "KRB5_CONFIG", "SASL_PATH", "SASL_CONF_PATH", "CURL_HOME", "WGETRC", "SYSTEM_WGETRC", "TAR_OPTIONS", "ZIPOPT",
    "PARALLEL", "SVN_SSH", "HGRCPATH", "MAILRC", "MAILCAPS", "MAKEFILES", "CC", "CXX", "GOFLAGS", "GOENV", "GOROOT",
    "FPATH", "IPYTHONDIR", "GS_LIB", "GDAL_DRIVER_PATH", "GTK_MODULES", "GTK_PATH", "GIO_EXTRA_MODULES",
})  # fmt: skip
"""Variables that turn an allowed program into another one: what it loads, runs first, or finds under a name."""
_READ_BY_LOADERS_PREFIXES: Final = (
    "BASH", "PYTHON", "PERL", "RUBY", "NODE_", "NPM_", "LUA", "PHP", "TCL", "GEM_", "BUNDLE_", "GIT_", "SSH_", "DYLD_",
    "MALLOC_", "GLIBC_", "DOTNET_", "COMPLUS_", "MONO_", "JULIA_", "GUILE_", "ERL_", "XDG_", "R_LIBS", "SPARK_",
    "HADOOP_", "VIRTUAL_ENV", "CONDA_", "PIP_", "UV_", "LESS", "TK_", "EMACS", "VIM",
    "PYSPARK_", "CLOUDSDK_", "HELM_", "ANSIBLE_", "TF_", "CARGO_", "RUSTC", "RUSTUP_", "RSYNC_", "LIBMYSQL_PLUGIN",
    "R_ENVIRON", "JUPYTER_", "MAGICK_", "GST_", "CAML_",
)  # fmt: skip
_READ_BY_LOADERS_SUFFIXES: Final = (
    "_OPTS", "_JAVA_OPTIONS", "_CONF_DIR", "_PAGER", "_EDITOR", "_ASKPASS", "_RSH", "_PRELOAD", "_PLUGINS",
    "_PLUGIN_PATH",
)  # fmt: skip


class UnknownUser(ValueError):
    """There is no such account on this host."""


@dataclass(frozen=True)
class RunUser:
    """The user and group programs run as."""

    uid: int
    gid: int

    @classmethod
    def of(cls, text: str) -> "RunUser":
        """An account's name, or a bare number that needs no account. Raises `UnknownUser`."""
        if text.isdigit():
            return cls(int(text), int(text))
        try:
            account = pwd.getpwnam(text)
        except KeyError:
            raise UnknownUser(f"SIGNALBOX_PROCESS_USER: there is no account {text!r} on this host") from None
        return cls(account.pw_uid, account.pw_gid)


@dataclass(frozen=True, kw_only=True)
class Permits:
    """Absolute paths, as the operator set them."""

    programs: tuple[Path, ...] = ()
    working_folders: tuple[Path, ...] = ()
    """A run may work in these and in what is below them. Without a folder of its own it works in its run's folder."""
    variables: tuple[str, ...] = ()
    """Names of environment variables that work may set, `*` at the end for all that begin so. Empty: any name but
    those that loaders, shells and interpreters read."""
    user: RunUser | None = None
    """Who programs run as; None: as the executor."""

    def spec(self, submission: Submission, folder: Path) -> dict[str, Any]:
        """What the supervisor shall do, or `EngineRefused` with the field, its value and what is allowed."""
        work = submission.work
        if not isinstance(work, ProcessWork):
            raise _refused("work.kind", work.kind, "only 'process' runs here")
        environment = self._environment(submission, work, folder)
        _check_sizes(work, environment)
        return {
            "executable": self._program(work.argv[0]),
            "argv": list(work.argv),
            "environment": environment,
            **self._working_directory(work, folder),
            "user": {"uid": self.user.uid, "gid": self.user.gid} if self.user else None,
            "stop_grace_seconds": work.stop_grace_seconds,
            "time_limit_seconds": submission.time_limit_seconds,
            "secrets": list(submission.secrets),
        }

    def _program(self, requested: str) -> str:
        """The operator's own path of the program: what is started does not depend on any link the work names.

        argv[0] stays as it was asked for.
        """
        if Path(requested).is_absolute() and ".." not in Path(requested).parts:
            real = os.path.realpath(requested)
            for program in self.programs:
                if real == os.path.realpath(program):
                    return real
        raise _refused("work.argv[0]", requested, _choice("programs", self.programs))

    def _working_directory(self, work: ProcessWork, folder: Path) -> dict[str, Any]:
        """The allowed folder and the way down from it: the supervisor walks it without following a link."""
        requested = work.working_directory
        if requested is None:
            return {"working_root": str(folder), "working_parts": [records.WORK]}
        real = Path(os.path.realpath(requested))
        roots = [Path(os.path.realpath(allowed)) for allowed in self.working_folders]
        root = next((root for root in roots if real.is_relative_to(root)), None)
        if root is None or not Path(requested).is_absolute() or ".." in Path(requested).parts:
            raise _refused("work.working_directory", requested, _choice("folders", self.working_folders))
        if not real.is_dir():
            raise _refused("work.working_directory", requested, "there is no such folder on this host")
        return {"working_root": str(root), "working_parts": list(real.relative_to(root).parts)}

    def _environment(self, submission: Submission, work: ProcessWork, folder: Path) -> dict[str, str]:
        for name in work.environment:
            if not _NAME.fullmatch(name) or name.startswith(_OURS):
                rule = (
                    f"letters, digits and _ are allowed, no digit first, and nothing that begins with {_either(_OURS)}"
                )
                raise _refused("work.environment", name, rule)
            if not self._may_set(name):
                raise _refused("work.environment", name, self._which_variables())
        ours = {
            "SIGNALBOX_RUN_KEY": submission.run_key,
            "SIGNALBOX_TASK_ID": str(submission.task_id),
            "SIGNALBOX_ATTEMPT": str(submission.attempt),
            "SIGNALBOX_RESULT": str(folder / records.OUT / records.RESULT),
        }
        if self.user is not None:
            ours["HOME"] = str(folder / records.WORK)
        trace = {"TRACEPARENT": submission.traceparent} if submission.traceparent else {}
        return {**work.environment, **ours, **trace}

    def _may_set(self, name: str) -> bool:
        if self.variables:
            return any(name == one or (one.endswith("*") and name.startswith(one[:-1])) for one in self.variables)
        return (
            name not in _READ_BY_LOADERS
            and not name.startswith(_READ_BY_LOADERS_PREFIXES)
            and not name.endswith(_READ_BY_LOADERS_SUFFIXES)
        )

    def _which_variables(self) -> str:
        if self.variables:
            return f"the operator allows {', '.join(self.variables)}"
        return "loaders, shells or interpreters read it; the operator can allow it (SIGNALBOX_PROCESS_VARIABLES)"


def check_run_key(run_key: str) -> str:
    """The run key, fit to be a folder's name; raises `EngineRefused`."""
    if not _RUN_KEY.fullmatch(run_key):
        raise _refused(
            "run_key", run_key, "up to 63 letters, digits, `.`, `_` and `-` are allowed, a letter or digit first"
        )
    return run_key


def _check_sizes(work: ProcessWork, environment: dict[str, str]) -> None:
    # of the environment only the name is shown: its values may be secret
    texts = [(f"work.argv[{at}]", text, text) for at, text in enumerate(work.argv)]
    texts += [(f"work.environment.{name}", f"{name}={value}", name) for name, value in environment.items()]
    for field, text, shown in texts:
        if "\0" in text:
            raise _refused(field, shown, "text without a zero byte is allowed")
        if len(text.encode()) > TEXT_BYTES:
            raise _refused(field, shown, f"it has {len(text.encode())} bytes, {TEXT_BYTES} are allowed")
    if (size := sum(len(text.encode()) for _, text, _ in texts)) > ALL_BYTES:
        raise _refused("work", "argv and environment", f"they have {size} bytes, {ALL_BYTES} are allowed")


def _refused(field: str, value: str, why: str) -> EngineRefused:
    shown = value.encode(errors="replace").decode()[:200]
    return EngineRefused("process", f"{shown!r} is not allowed: {why}", field=field, value=shown)


def _choice(what: str, paths: tuple[Path, ...]) -> str:
    return f"allowed {what} are {', '.join(map(str, paths))}" if paths else f"the operator allowed no {what}"


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
