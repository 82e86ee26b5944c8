"""What the peers in Python share: JSON lines on standard output, and fresh consumers timed one after the other."""

import json
import multiprocessing
import sys
import time


def emit(**fields):
    print(json.dumps(fields), flush=True)


def need(*modules):
    """Imports what the peer is about, or says that it is absent and why, and ends."""
    try:
        return [__import__(name, fromlist=["_"]) for name in modules]
    except Exception as error:  # a broken installation is as absent as none
        emit(event="absent", reason=f"{type(error).__name__}: {error}")
        sys.exit(0)


def present(**versions):
    emit(event="present", python=sys.version.split()[0], **versions)


def now():
    """CLOCK_MONOTONIC in nanoseconds: times of all processes compare."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def milliseconds(begin, end):
    return (end - begin) / 1e6


class Consumers:
    """Fresh processes that have CUDA up before anything is timed. They come up together and are timed one by one.

    `target(pipe, *arguments)` sends "up" once CUDA is, then answers what it receives.
    """

    def __init__(self, count, target, arguments):
        context = multiprocessing.get_context("spawn")
        self.members = []
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=target, args=(there, *arguments), daemon=True)
            process.start()
            there.close()
            self.members.append((process, here))
        for process, pipe in self.members:
            if pipe.recv() != "up":
                raise RuntimeError("a consumer did not come up")

    def __iter__(self):
        return iter(self.members)

    def end(self):
        for process, pipe in self.members:
            pipe.close()
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join()
