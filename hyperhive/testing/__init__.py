"""Public fakes for tests: each honest by a behaviour suite that the real one passes too."""
