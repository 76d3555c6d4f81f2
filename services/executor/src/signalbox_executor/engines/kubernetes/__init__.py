"""The Kubernetes engine: an attempt is a Job of its own in one namespace, named by its run key.

`adapter` is the port, `manifest` what is created, `job` and `pods` what the cluster's answers mean (all three pure but
the first), `jobs_watch` the one stream that follows every Job, `pod_logs` what containers write, `api` and `access` the
way to the API server.
"""
