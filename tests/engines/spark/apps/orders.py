"""Sums orders by customer: reads JSON lines, writes Parquet, leaves its counts as the result. Stamps each start."""

import json
import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

source, target, stamps = sys.argv[1:4]
with Path(stamps).open("a") as file:
    file.write(os.environ["SIGNALBOX_RUN_KEY"] + "\n")
spark = SparkSession.builder.getOrCreate()
orders = spark.read.json(source)
sums = orders.groupBy("customer").agg(f.sum("amount").alias("amount"), f.count("*").alias("orders"))
sums.coalesce(1).write.mode("overwrite").parquet(target)
written = spark.read.parquet(target)
result = {
    "read": orders.count(),
    "customers": written.count(),
    "amount": written.agg(f.sum("amount")).first()[0],
    "greeting": os.environ.get("GREETING", ""),
}
spark.stop()
Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps(result))
print("orders are summed:", json.dumps(result, sort_keys=True))
