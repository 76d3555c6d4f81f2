#!/usr/bin/env python3
"""The steps of the three example pipelines: `steps.py STEP JSON`. JSON holds the parameters and earlier results.

They do what the tasks of the example DAGs in `compose/airflow/dags` do, with the same numbers. What a step returns goes
to the file that `$SIGNALBOX_RESULT` names. Standard library only.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCHES = 4
Values = dict[str, Any]


def start(values: Values) -> Values:
    """Show what the run was started with."""
    print(f"task {values['task_id']}, dataset {values['dataset_id']}")
    return {"task_id": values["task_id"], "dataset_id": values["dataset_id"]}


def process(values: Values) -> Values:
    """Work for as long as the run asks for."""
    time.sleep(values["processing_time"])
    return {**values["started"], "seconds": values["processing_time"]}


def complete(values: Values) -> Values:
    """Hand on the result of the run."""
    return {**values["processed"], "status": "completed"}


def extract(values: Values) -> Values:
    """Make rows in batches. Every tenth row has no value."""
    rows = [{"id": number, "value": None if number % 10 == 9 else number * 1.5} for number in range(values["rows"])]
    for batch in range(BATCHES):
        _save(values, f"raw-{batch}", rows[batch::BATCHES])
    return {"rows": len(rows)}


def transform(values: Values) -> Values:
    """Drop the rows of one batch that have no value, and scale the others."""
    time.sleep(values["seconds_per_batch"])
    name = f"raw-{values['batch']}"
    rows = [
        {"id": row["id"], "value": round(row["value"] * 2, 2)}
        for row in _load(values, name)
        if row["value"] is not None
    ]
    _save(values, f"clean-{values['batch']}", rows)
    return {"batch": values["batch"], "rows": len(rows)}


def validate(values: Values) -> Values:
    """Refuse rows that are there twice."""
    rows = _cleaned(values)
    if len({row["id"] for row in rows}) != len(rows):
        raise SystemExit("a row is there twice")
    return {"rows": len(rows)}


def load(values: Values) -> Values:
    """Write the rows to a file of the run."""
    rows = sorted(_cleaned(values), key=lambda row: row["id"])
    path = _save(values, "loaded", rows)
    return {"rows": len(rows), "total": round(sum(row["value"] for row in rows), 2), "file": str(path)}


def prepare(values: Values) -> Values:
    """Points on the line y = 3x + 2 with some noise, split for training and test."""
    source = random.Random(values["seed"])
    points = [[x / 10, 3 * x / 10 + 2 + source.gauss(0, 0.1)] for x in range(values["points"])]
    source.shuffle(points)
    cut = len(points) * 4 // 5
    _save(values, "train", points[:cut])
    _save(values, "test", points[cut:])
    return {"train": cut, "test": len(points) - cut}


def train(values: Values) -> Values:
    """Fit slope and intercept by least squares."""
    time.sleep(values["training_time"])
    points = _load(values, "train")
    mean_x, mean_y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return {"slope": slope, "intercept": mean_y - slope * mean_x}


def evaluate(values: Values) -> Values:
    """Measure the model on the test points; a poor one fails the run."""
    model, points = values["model"], _load(values, "test")
    error = (sum((model["slope"] * x + model["intercept"] - y) ** 2 for x, y in points) / len(points)) ** 0.5
    if error > values["max_error"]:
        raise SystemExit(f"the error {error:.3f} is more than {values['max_error']:g}")
    return {"slope": round(model["slope"], 3), "intercept": round(model["intercept"], 3), "error": round(error, 4)}


STEPS: dict[str, Callable[[Values], Values]] = {
    step.__name__: step
    for step in (start, process, complete, extract, transform, validate, load, prepare, train, evaluate)
}


def _cleaned(values: Values) -> list[Any]:
    return [row for batch in range(BATCHES) for row in _load(values, f"clean-{batch}")]


def _save(values: Values, name: str, content: Any) -> Path:
    """Keep something for the steps that follow, in a folder of this run."""
    folder = Path(values["folder"]) / values["run"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def _load(values: Values, name: str) -> Any:
    return json.loads((Path(values["folder"]) / values["run"] / f"{name}.json").read_text())


if __name__ == "__main__":
    result = STEPS[sys.argv[1]](json.loads(sys.argv[2]))
    Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps(result))
