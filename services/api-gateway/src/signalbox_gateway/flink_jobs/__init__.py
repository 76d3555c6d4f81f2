"""Jobs as the Flink job orchestrator's document writes them: its fields, its executions, its words for states."""
