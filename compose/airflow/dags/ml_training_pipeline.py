"""Data preparation, training and evaluation of a small linear model, in plain Python."""

import random
import time
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

Points = list[list[float]]


@task
def prepare() -> dict[str, Points]:
    """Points on the line y = 3x + 2 with some noise, split for training and test."""
    params = get_current_context()["params"]
    source = random.Random(params["seed"])
    points = [[x / 10, 3 * x / 10 + 2 + source.gauss(0, 0.1)] for x in range(params["points"])]
    source.shuffle(points)
    cut = len(points) * 4 // 5
    return {"train": points[:cut], "test": points[cut:]}


@task
def train(data: dict[str, Points]) -> dict[str, float]:
    """Fit slope and intercept by least squares."""
    time.sleep(float(get_current_context()["params"]["training_time"]))
    points = data["train"]
    mean_x, mean_y = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return {"slope": slope, "intercept": mean_y - slope * mean_x}


@task
def evaluate(data: dict[str, Points], model: dict[str, float]) -> dict[str, Any]:
    """Measure the model on the test points; a poor one fails the run."""
    errors = [(model["slope"] * x + model["intercept"] - y) ** 2 for x, y in data["test"]]
    error = (sum(errors) / len(errors)) ** 0.5
    limit = float(get_current_context()["params"]["max_error"])
    if error > limit:
        raise ValueError(f"the error {error:.3f} is more than {limit:g}")
    return {"slope": round(model["slope"], 3), "intercept": round(model["intercept"], 3), "error": round(error, 4)}


@dag(
    dag_id="ml_training_pipeline", schedule=None, catchup=False, tags=["signalbox"],
    params={
        "points": Param(200, type="integer", minimum=10, maximum=10_000),
        "seed": Param(1, type="integer"),
        "training_time": Param(120, type="number", minimum=0, maximum=3600),
        "max_error": Param(0.5, type="number", minimum=0),
    },
)  # fmt: skip
def ml_training_pipeline() -> None:
    data = prepare()
    evaluate(data, train(data))


ml_training_pipeline()
