"""Packing many items of one plan into few messages, within both caps: 200 items and 256 KiB."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from pydantic import BaseModel

from signalbox_contracts.vocabulary import MAX_ITEMS
from signalbox_contracts.wire import MAX_MESSAGE_BYTES, MessageTooLarge

ENVELOPE_BYTES: Final = 16_384
"""Room left for the envelope and the fields around the items."""

Item = TypeVar("Item", bound=BaseModel)


def packed(
    items: Sequence[Item], *, max_items: int = MAX_ITEMS, max_bytes: int = MAX_MESSAGE_BYTES - ENVELOPE_BYTES
) -> Iterator[tuple[Item, ...]]:
    """The items in order, in as few pages as fit; no page for no items. Raises `MessageTooLarge` for a single item."""
    page: list[Item] = []
    size = 0
    for item in items:
        bytes_needed = len(item.model_dump_json(exclude_none=True).encode()) + 1
        if bytes_needed > max_bytes:
            raise MessageTooLarge(type(item).__name__, bytes_needed)
        if page and (len(page) == max_items or size + bytes_needed > max_bytes):
            yield tuple(page)
            page, size = [], 0
        page.append(item)
        size += bytes_needed
    if page:
        yield tuple(page)
