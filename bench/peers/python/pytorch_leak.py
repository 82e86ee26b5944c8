"""PyTorch: what stays allocated in the producer when a consumer is killed.

    python3 pytorch_leak.py BYTES DEVICE ROUNDS

Each round: tensors of BYTES together, sent through a torch.multiprocessing queue to a consumer that holds them; the
consumer is killed with SIGKILL; the producer drops its tensors, collects, and returns its cached memory. One line
each: {"shared": bytes, "left": bytes more in use on the device than before the round}.
"""

import gc
import sys

from common import emit, need, present

TENSORS = 16


def consumer(queue, pipe, device):
    import torch

    torch.cuda.set_device(device)
    tensors = queue.get()
    torch.cuda.synchronize()
    pipe.send(len(tensors))
    pipe.recv()  # holds them until it is killed


def in_use(torch):
    free, total = torch.cuda.mem_get_info()
    return total - free


def give_back(torch):
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.ipc_collect()
    torch.cuda.empty_cache()


def one_round(torch, context, size, device):
    give_back(torch)
    before = in_use(torch)
    tensors = [torch.ones(size // TENSORS, dtype=torch.uint8, device="cuda") for _ in range(TENSORS)]
    queue = context.Queue()
    here, there = context.Pipe()
    process = context.Process(target=consumer, args=(queue, there, device), daemon=True)
    process.start()
    queue.put(tensors)
    if here.recv() != TENSORS:
        raise RuntimeError("the consumer did not receive every tensor")
    process.kill()
    process.join()
    tensors.clear()
    give_back(torch)
    emit(shared=size, left=max(0, in_use(torch) - before))


def main(size, device, rounds):
    (torch,) = need("torch")
    import torch.multiprocessing as multiprocessing

    if not torch.cuda.is_available():
        emit(event="absent", reason="torch.cuda.is_available() is False")
        return
    present(torch=torch.__version__)
    torch.cuda.set_device(device)
    torch.ones(1, device="cuda")
    context = multiprocessing.get_context("spawn")
    for _ in range(rounds):
        one_round(torch, context, size, device)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
