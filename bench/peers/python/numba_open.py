"""Numba: opening an array of another process by its CUDA IPC handle.

    python3 numba_open.py BYTES DEVICE CONSUMERS REPEATS

BYTES: whole blocks of 2 MiB; what is not is opened a hundred times slower.

Lines: {"kind": "first" | "repeated", "milliseconds": of IpcArrayHandle.open()}.
"""

import sys

from common import Consumers, emit, milliseconds, need, now, present


def consumer(pipe, device):
    import numpy
    from numba import cuda

    cuda.select_device(device)
    cuda.to_device(numpy.zeros(1))
    cuda.synchronize()
    pipe.send("up")
    while True:
        try:
            handle = pipe.recv()
        except EOFError:
            return
        begin = now()
        array = handle.open()
        end = now()
        word = int(array[:1].copy_to_host()[0])
        handle.close()
        pipe.send((begin, end, word))


def main(size, device, consumers, repeats):
    numba, numpy = need("numba", "numpy")
    try:
        from numba import cuda

        cuda.select_device(device)
    except Exception as error:
        emit(event="absent", reason=f"{type(error).__name__}: {error}")
        return
    present(numba=numba.__version__)
    array = cuda.device_array(size // 4, numpy.uint32)
    array[:1].copy_to_device(numpy.full(1, 0x5E5E5E5E, numpy.uint32))
    cuda.synchronize()
    processes = Consumers(consumers, consumer, (device,))
    for _, pipe in processes:
        for turn in range(repeats + 1):
            pipe.send(array.get_ipc_handle())
            begin, end, word = pipe.recv()
            if word != 0x5E5E5E5E:
                raise RuntimeError(f"the opened memory holds {word:#x}")
            emit(kind="first" if turn == 0 else "repeated", milliseconds=milliseconds(begin, end))
    processes.end()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
