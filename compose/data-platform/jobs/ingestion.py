"""PySpark: bring the events of each day from SOURCE_URL into the lake, a partition a day, replaced as a whole.

An event is a JSON line: {"user": "u1", "item": "i1", "at": "2026-01-31T10:00:00Z"}. Lines without user or item are
counted and left out. MODE initial_load: every day of the window; incremental: EVENT_DATE alone.
"""

import os

from days import event_date, lake, mode, report, window
from pyspark.sql import SparkSession
from pyspark.sql.functions import col
from pyspark.sql.types import StringType, StructField, StructType

EVENT = StructType([StructField(name, StringType()) for name in ("user", "item", "at")])


def main() -> None:
    last = event_date()
    wanted = window(last) if mode() == "initial_load" else [last]
    source = os.environ.get("SOURCE_URL", "file:///source").rstrip("/")
    spark = SparkSession.builder.appName(f"ingestion {last}").getOrCreate()
    kept = left_out = 0
    for day in wanted:
        # the path must exist: a day without its file fails, and is not taken for a day without events
        events = spark.read.schema(EVENT).json(f"{source}/events/{day}.jsonl").cache()
        good = events.where(col("user").isNotNull() & col("item").isNotNull())
        good.coalesce(1).write.mode("overwrite").parquet(f"{lake()}/events/day={day}")
        count = good.count()
        kept, left_out = kept + count, left_out + events.count() - count
        events.unpersist()
    spark.stop()
    report(first=str(wanted[0]), last=str(last), events=kept, left_out=left_out)


if __name__ == "__main__":
    main()
