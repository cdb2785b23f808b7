"""What waits for the operator's decision: proposed changes, and agents' questions.

A decision, the message that tells whoever asked, and the job that carries it out are
one transaction; each surface decides by the same method, and only the first decides.
"""
