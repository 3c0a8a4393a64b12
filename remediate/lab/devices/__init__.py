"""Strict simulators of network devices, each a process of its own, built from recordings and vendors' documents.

They judge the drivers and the planner, so they share no code with them.
"""
