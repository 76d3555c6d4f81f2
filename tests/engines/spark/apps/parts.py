"""Uses what came with it: a Python module, a file, a JAR. Leaves what it found as its result."""

import json
import os
from pathlib import Path

import rates
from pyspark import SparkFiles
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
limit = int(Path(SparkFiles.get("limit.txt")).read_text())
loader = spark._jvm.Thread.currentThread().getContextClassLoader()
doubled = spark.sparkContext.parallelize(range(limit), 2).map(rates.double).sum()
result = {"limit": limit, "doubled": doubled, "class": loader.loadClass("probe.App").getName()}
spark.stop()
Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps(result))
