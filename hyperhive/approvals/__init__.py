"""What waits for the operator's decision: proposed changes, and agents' questions."""
