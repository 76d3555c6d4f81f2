"""Requests that start plans: `schema` models them, `validation` checks them, `sending` writes and publishes them."""

from signalbox_gateway.plan_requests.schema import JobStart, PlanStart, Version
from signalbox_gateway.plan_requests.sending import first_record, plan_id, plan_request, send, start_job

__all__ = ["JobStart", "PlanStart", "Version", "first_record", "plan_id", "plan_request", "send", "start_job"]
