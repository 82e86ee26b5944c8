"""cuda.core: importing buffers of another process's IPC-enabled memory pool.

    python3 cuda_core_open.py BYTES DEVICE CONSUMERS REPEATS

BYTES: whole blocks of 2 MiB; what is not is opened a hundred times slower.
The pool travels once per consumer, by its file descriptor; buffers by their descriptors. Lines:
{"kind": "first", "milliseconds": of importing the pool and the buffers}, {"kind": "repeated", ...: of the buffers}.
"""

import multiprocessing
import sys
from multiprocessing.reduction import ForkingPickler

from common import Consumers, emit, milliseconds, need, now, present


def api():
    """The same names from either of the places that releases of cuda.core have had them in."""
    try:
        import cuda.core as core

        core.DeviceMemoryResource
    except (ImportError, AttributeError):
        import cuda.core.experimental as core
    return core


def whole_blocks(size):
    block = 32 << 20
    return (size + block - 1) // block * block


def shares(size):
    """The buffers that hold so many bytes: a consumer of cuda.core 1.2 crashes when it imports more than 4 GiB at once."""
    most = 4 << 30
    return [min(most, size - begin) for begin in range(0, size, most)]


def describe(buffer):
    return buffer.ipc_descriptor if hasattr(buffer, "ipc_descriptor") else buffer.get_ipc_descriptor()


def open_buffer(core, device, pool, descriptor):
    try:
        return core.Buffer.from_ipc_descriptor(pool, descriptor, stream=device.default_stream)
    except TypeError:  # releases before streams were asked for
        return core.Buffer.from_ipc_descriptor(pool, descriptor)


def consumer(pipe, ordinal):
    core = api()
    device = core.Device(ordinal)
    device.set_current()
    stream = device.create_stream()
    stream.sync()
    pipe.send("up")
    pool = None
    while True:
        try:
            data, descriptors = pipe.recv()
        except EOFError:
            return
        begin = now()
        if pool is None:
            pool = ForkingPickler.loads(data)
        buffers = [open_buffer(core, device, pool, descriptor) for descriptor in descriptors]
        end = now()
        size = sum(buffer.size for buffer in buffers)
        for buffer in buffers:
            buffer.close()
        device.sync()
        pipe.send((begin, end, size))


def main(size, ordinal, consumers, repeats):
    (package,) = need("cuda.core")
    try:
        core = api()
        device = core.Device(ordinal)
        device.set_current()
        options = core.DeviceMemoryResourceOptions(max_size=sum(map(whole_blocks, shares(size))), ipc_enabled=True)
        pool = core.DeviceMemoryResource(device, options=options)
    except Exception as error:
        emit(event="absent", reason=f"{type(error).__name__}: {error}")
        return
    present(cuda_core=getattr(package, "__version__", "unknown"))
    buffers = [pool.allocate(share, stream=device.default_stream) for share in shares(size)]
    device.sync()
    descriptors = [describe(buffer) for buffer in buffers]
    processes = Consumers(consumers, consumer, (ordinal,))
    for _, pipe in processes:
        for turn in range(repeats + 1):
            pipe.send((bytes(ForkingPickler.dumps(pool)) if turn == 0 else None, descriptors))
            begin, end, seen = pipe.recv()
            if seen < size:
                raise RuntimeError(f"the imported buffers have {seen} of {size} bytes")
            emit(kind="first" if turn == 0 else "repeated", milliseconds=milliseconds(begin, end))
    processes.end()
    for buffer in buffers:
        buffer.close(device.default_stream)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main(*map(int, sys.argv[1:5]))
