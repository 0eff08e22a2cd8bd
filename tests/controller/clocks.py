"""A clock that is wrong: what Python runs as it starts, from a folder in PYTHONPATH."""

from __future__ import annotations

TWO_HOURS_AHEAD = """
import datetime, sys, time

right = time.time

def wrong():
    '''Return another time, but to gRPC, which compares it with one that its core has read.'''
    caller = sys._getframe(1).f_globals["__name__"]
    return right() + (0 if caller.startswith("grpc") else 7200)

time.time = wrong

class Ahead(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(hours=2)

datetime.datetime = Ahead
"""
