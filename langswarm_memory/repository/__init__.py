"""Stores behind one protocol: see :mod:`langswarm_memory.repository.protocol`."""
