"""Tell the operator outside the house, and let one thing be decided from there.

What is to be told is written into the outbox in the transaction of the fact, so that no
crash forgets it; each target is then told by ntfy or a webhook, in its own time. A
decision link goes nowhere but into such a notification: no agent can learn one.
"""
