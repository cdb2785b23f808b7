"""Tests of :mod:`hyperhive.notify`."""
