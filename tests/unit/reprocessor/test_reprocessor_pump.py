"""What becomes of the lines of one file."""

from pathlib import Path

from signalbox_reprocessor.worker.checkpoints import Checkpoint, Progress
from signalbox_reprocessor.worker.events import Selector
from signalbox_reprocessor.worker.pump import Pump, PumpOptions
from signalbox_reprocessor.worker.sources import Source, SourceFile


def test_a_line_before_the_start_line_is_skipped_however_long_it_is(tmp_path: Path) -> None:
    """Else the operator who starts behind a bad line gets it counted as failed, again at each start."""
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"x" * 5000 + b"\n{}\n" + b"x" * 5000 + b"\n")
    stat = path.stat()
    selector = Selector(stream_ids=frozenset(), connection_ids=("a",), streams=None, date_from=None, date_to=None)
    options = PumpOptions(
        topic="t", batch_size=10, retry_attempts=1, max_line_bytes=1024, start_path=str(path), start_line=2
    )
    progress = Progress()
    file = SourceFile(0, str(path), stat.st_size, str(stat.st_mtime_ns))
    Pump(None, Source({}), selector, progress, options).run([(file, Checkpoint(0))])
    end = progress.batches[-1].checkpoint
    assert end is not None
    assert (end.status, end.line, end.sent, end.skipped, end.failed) == ("done", 3, 1, 1, 1)
    assert [(bad.line, bad.offset) for batch in progress.batches for bad in batch.bad_lines] == [(3, 5004)]
