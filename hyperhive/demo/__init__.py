"""The scripted agent: a stand-in for the claude executable that needs no account."""
