"""Tests of hyperhive. They need Twisted's asyncio reactor: run them by ``make test``."""
