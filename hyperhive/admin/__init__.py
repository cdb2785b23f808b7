"""The admin protocol on ``host.sock`` and ``hive-c0re``, the command line over it."""
