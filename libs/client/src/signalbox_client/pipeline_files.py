"""Pipelines in files: what they hold, and every problem with file, line and column."""

from typing import Any, Final

from signalbox_client.api import Refused
from signalbox_client.output import Column

PROBLEMS: Final[tuple[Column, ...]] = (
    ("place", "place"), ("step", "step"), ("field", "field"), ("problem", "problem"),
)  # fmt: skip


def checked(files: list[str]) -> tuple[list[Any], list[dict[str, str]]]:
    """The pipelines of these files, and what is wrong with them."""
    from pydantic import ValidationError  # slow to import, and rarely needed

    from signalbox_client.yaml_files import Document, InvalidFile, files_of, read_documents
    from signalbox_contracts.definitions.pipeline import Pipeline
    from signalbox_contracts.definitions.problems import problems_in

    documents: list[Document] = []
    problems: list[dict[str, str]] = []
    for file in files_of(files):
        try:
            documents += read_documents(file)
        except InvalidFile as error:
            where, _, words = str(error).partition(": ")
            problems.append({"place": where, "step": error.step, "field": error.field, "problem": words})
    if not documents and not problems:
        problems.append({"place": ", ".join(files), "step": "", "field": "", "problem": "no pipeline is there"})
    seen: dict[str, str] = {}
    for document in documents:
        written = {"name": document.value.get("id", ""), **document.value}
        try:
            read = Pipeline.model_validate(written, extra="forbid")
        except ValidationError as error:
            problems += [_problem(document, one.field, one.value, one.allowed) for one in problems_in(error)]
            continue
        if read.id in seen:
            problems.append(_problem(document, "id", repr(read.id), f"is in {seen[read.id]} already"))
        seen[read.id] = document.place("id")
    return documents, problems


def _problem(document: Any, field: str, value: str | None, allowed: str) -> dict[str, str]:
    """One problem with its place in a file."""
    words = f"{value}: {allowed}" if value is not None else allowed
    return {"place": document.place(field), "step": document.step(field), "field": field, "problem": words}


def problems_of(documents: list[Any], refused: Refused) -> list[dict[str, str]]:
    """What the server refuses of these files. Raises its problem again when it is not about one of them."""
    problems: list[dict[str, str]] = []
    for one in refused.errors:
        head, _, rest = str(one.get("field", "")).partition(".")
        number, _, field = rest.partition(".")
        if head != "pipelines" or not number.isdigit() or int(number) >= len(documents):
            raise refused
        value = one.get("value")
        problems.append(_problem(documents[int(number)], field, value, str(one.get("allowed", ""))))
    if not problems:
        raise refused
    return problems
