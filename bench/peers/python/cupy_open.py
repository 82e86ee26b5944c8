"""CuPy: opening a CUDA IPC memory handle of another process.

    python3 cupy_open.py BYTES DEVICE CONSUMERS REPEATS

BYTES: whole blocks of 2 MiB; what is not is opened a hundred times slower.

Lines: {"kind": "first" | "repeated", "milliseconds": of cupy.cuda.runtime.ipcOpenMemHandle}.
"""

import sys

from common import Consumers, emit, milliseconds, need, now, present


def consumer(pipe, device):
    import cupy

    cupy.cuda.Device(device).use()
    cupy.zeros(1)
    cupy.cuda.Device(device).synchronize()
    pipe.send("up")
    while True:
        try:
            handle = pipe.recv()
        except EOFError:
            return
        begin = now()
        pointer = cupy.cuda.runtime.ipcOpenMemHandle(handle)
        end = now()
        memory = cupy.cuda.UnownedMemory(pointer, 4, None)
        word = int(cupy.ndarray((1,), cupy.uint32, cupy.cuda.MemoryPointer(memory, 0))[0])
        cupy.cuda.runtime.ipcCloseMemHandle(pointer)
        pipe.send((begin, end, word))


def main(size, device, consumers, repeats):
    (cupy,) = need("cupy")
    if not cupy.cuda.is_available():
        emit(event="absent", reason="cupy.cuda.is_available() is False")
        return
    present(cupy=cupy.__version__)
    cupy.cuda.Device(device).use()
    # Not from CuPy's pool: one allocation of its own, as a set of weights would be.
    pointer = cupy.cuda.runtime.malloc(size)
    cupy.cuda.runtime.memset(pointer, 0x5E, size)
    cupy.cuda.Device(device).synchronize()
    handle = cupy.cuda.runtime.ipcGetMemHandle(pointer)
    processes = Consumers(consumers, consumer, (device,))
    for _, pipe in processes:
        for turn in range(repeats + 1):
            pipe.send(handle)
            begin, end, word = pipe.recv()
            if word != 0x5E5E5E5E:
                raise RuntimeError(f"the opened memory holds {word:#x}")
            emit(kind="first" if turn == 0 else "repeated", milliseconds=milliseconds(begin, end))
    processes.end()
    cupy.cuda.runtime.free(pointer)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
