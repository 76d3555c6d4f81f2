"""PySpark: for each user the items that others with the same items had most, in the window up to EVENT_DATE."""

from days import event_date, lake, mode, report, window
from pyspark.sql import SparkSession, Window
from pyspark.sql.functions import col, countDistinct, row_number

TOP = 5


def main() -> None:
    mode()
    last = event_date()
    wanted = window(last)
    spark = SparkSession.builder.appName(f"processing {last}").config("spark.sql.shuffle.partitions", "4").getOrCreate()
    paths = [f"{lake()}/events/day={day}" for day in wanted]
    events = spark.read.option("basePath", f"{lake()}/events").parquet(*paths)
    had = events.select("user", "item").distinct().cache()
    other = had.select(col("user").alias("other"), col("item").alias("shared"))
    alike = (
        had.join(other, (had["item"] == other["shared"]) & (had["user"] != other["other"]))
        .select(had["user"], "other")
        .distinct()
    )
    theirs = had.select(col("user").alias("other"), col("item").alias("candidate"))
    scored = (
        alike.join(theirs, "other")
        .join(had.withColumnRenamed("item", "candidate"), ["user", "candidate"], "left_anti")
        .groupBy("user", "candidate")
        .agg(countDistinct("other").alias("score"))
    )
    best = Window.partitionBy("user").orderBy(col("score").desc(), col("candidate"))
    ranked = scored.withColumn("rank", row_number().over(best)).where(col("rank") <= TOP)
    rows = ranked.select("user", col("candidate").alias("item"), "score", "rank").cache()
    rows.coalesce(1).write.mode("overwrite").json(f"{lake()}/recommendations/day={last}")
    count, users = rows.count(), had.select("user").distinct().count()
    spark.stop()
    report(day=str(last), days=len(wanted), users=users, recommendations=count)


if __name__ == "__main__":
    main()
