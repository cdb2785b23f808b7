"""Container drivers: the only room that knows isolation.

``interfaces`` is what others see; :func:`hyperhive.containers.choose.choose_driver`
picks the driver that a setting names.
"""
