"""The broker: a durable queue for each mailbox, with leases and acknowledgement.

``docs/delivery.md`` is its contract: what a sender, a receiver and an operator
may rely on.
"""
