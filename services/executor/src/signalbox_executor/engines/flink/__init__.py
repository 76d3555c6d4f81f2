"""Apache Flink session clusters, 1.20 and 2.x, through the JobManager's REST API."""
