"""What a run left as its result: JSON of at most 16 KiB, or a reason that fails the attempt."""

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from signalbox_contracts.vocabulary import RESULT_BYTES


def read_result(data: bytes, size: int | None = None) -> JsonValue:
    """The value. `size` is how large it is where `data` was cut. Raises ValueError with a sentence for a person."""
    size = len(data) if size is None else size
    if size > RESULT_BYTES:
        raise ValueError(f"the result has {size} bytes: at most {RESULT_BYTES} are allowed")
    try:
        value: JsonValue = from_json(data, allow_inf_nan=False)
        written_size = len(to_json(value))
    except ValueError as error:
        raise ValueError(f"the result is no JSON: {error}") from None
    if written_size > RESULT_BYTES:  # numbers may be longer when written out
        raise ValueError(f"the result takes {written_size} bytes as JSON: at most {RESULT_BYTES} are allowed")
    return value
