"""Fails as its argument says: an exit code, an exception, or a job that fails while the driver ends with 0."""

import sys

how = sys.argv[1]
if how == "exit":
    sys.exit(3)
if how == "raise":
    raise ValueError("no such day: 2026-02-30")

from pyspark.sql import SparkSession  # noqa: E402

spark = SparkSession.builder.getOrCreate()


def wrong(row: int) -> int:
    raise RuntimeError(f"row {row} cannot be read")


try:
    spark.sparkContext.parallelize([1], 1).map(wrong).collect()
except Exception as error:
    print("ignored:", type(error).__name__)
if how == "recover":
    print("count", spark.sparkContext.parallelize([1, 2], 1).count())
spark.stop()
