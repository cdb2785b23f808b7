"""Prepare what a turn of claude needs, and start it inside the agent's container."""
