"""SQL scripts of migrations: split into statements at semicolons outside of quotes, function bodies and comments."""

import re
from typing import Final

from alembic import op

# quoted texts, $$ bodies $$ and comments are passed over as one piece
_PIECE: Final = re.compile(
    r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|/\*.*?\*/|(?P<body>\$\w*\$).*?(?P=body)|(?P<end>;)", re.DOTALL
)


def split(script: str) -> list[str]:
    """The statements of a script, in order, without their semicolons; empty ones and lone comments are left out."""
    found, start = list[str](), 0
    for piece in _PIECE.finditer(script):
        if piece["end"]:
            found.append(script[start : piece.start()])
            start = piece.end()
    found.append(script[start:])
    return [
        statement.strip() for statement in found if re.sub(r"--[^\n]*|/\*.*?\*/|\s", "", statement, flags=re.DOTALL)
    ]


def run_script(script: str) -> None:
    """Execute the statements of a script in the migration under way."""
    for statement in split(script):
        op.execute(statement)
