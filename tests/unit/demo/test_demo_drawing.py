"""The drawn trace."""

from demo.drawing import waterfall


def test_spans_are_drawn_in_order_below_their_parents_and_as_long_as_they_took() -> None:
    spans = [
        {"span_id": "b", "parent_id": "a", "service": "planner", "name": "process", "start_ns": 50, "end_ns": 100},
        {"span_id": "a", "parent_id": None, "service": "api-gateway", "name": "POST", "start_ns": 0, "end_ns": 100},
        {"span_id": "c", "parent_id": "gone", "service": "executor", "name": "end", "start_ns": 99, "end_ns": 99},
    ]
    post, process, end = waterfall(spans)
    assert (post.count("█"), process.count("█"), end.count("█")) == (48, 24, 1)
    assert "  process" in process
    assert waterfall([]) == ["no span has arrived yet"]
