"""PyTorch: tensors of another process by torch.multiprocessing.

    python3 pytorch_attach.py FILE DEVICE CONSUMERS REPEATS

The producer has tensors of the file's shapes on the device. Each consumer is a process of its own whose CUDA is up.
Lines: {"how": "loads", "kind": "first" | "repeated", "milliseconds": ...} for ForkingPickler.loads of all tensors,
{"how": "queue", ...} for from the producer's put() to the return of the consumer's get().
"""

import gc
import json
import sys
from multiprocessing.reduction import ForkingPickler

from common import Consumers, emit, milliseconds, need, now, present

FILL = 1.5


def shapes(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return [entry["shape"] for entry in header.values()]


def let_go(torch, tensors):
    tensors.clear()
    gc.collect()
    torch.cuda.synchronize()


def check(tensors, count):
    values = [float(tensors[index].flatten()[-1]) for index in (0, -1)]
    if len(tensors) != count or values != [FILL, FILL]:
        raise RuntimeError(f"received {len(tensors)} tensors that end in {values}")


def consumer(pipe, queue, device, count):
    import torch

    torch.cuda.set_device(device)
    torch.ones(1, device="cuda")
    torch.cuda.synchronize()
    pipe.send("up")
    while True:
        try:
            how, data = pipe.recv()
        except EOFError:
            return
        if how == "loads":
            begin = now()
            tensors = ForkingPickler.loads(data)
            end = now()
        else:
            begin = None
            tensors = queue.get()
            end = now()
        check(tensors, count)
        let_go(torch, tensors)
        pipe.send((begin, end))


def main(path, device, consumers, repeats):
    (torch,) = need("torch")
    import torch.multiprocessing as multiprocessing

    if not torch.cuda.is_available():
        emit(event="absent", reason="torch.cuda.is_available() is False")
        return
    present(torch=torch.__version__)
    torch.cuda.set_device(device)
    tensors = [torch.full(shape, FILL, dtype=torch.bfloat16, device="cuda") for shape in shapes(path)]
    torch.cuda.synchronize()
    queue = multiprocessing.get_context("spawn").Queue()
    processes = Consumers(consumers, consumer, (queue, device, len(tensors)))
    for _, pipe in processes:
        for turn in range(repeats + 1):
            kind = "first" if turn == 0 else "repeated"
            pipe.send(("loads", bytes(ForkingPickler.dumps(tensors))))
            begin, end = pipe.recv()
            emit(how="loads", kind=kind, milliseconds=milliseconds(begin, end))
        for _ in range(max(1, repeats // 2)):
            pipe.send(("queue", None))
            begin = now()
            queue.put(tensors)
            _, end = pipe.recv()
            emit(how="queue", kind="repeated", milliseconds=milliseconds(begin, end))
    processes.end()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
