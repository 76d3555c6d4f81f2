"""The worker program: reads its files, sends their lines to Kafka, keeps the ledger.

`main` wires it, `sources` opens files, `lines` cuts them, `events` judges a line, `pump` sends, `checkpoints` says how
far the broker has acknowledged, `ledger` holds the SQL, `streams` asks the repository.
"""
