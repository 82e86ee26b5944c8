"""safetensors: the file to the device by safetensors.torch.load_file.

    python3 safetensors_load.py FILE DEVICE ROUNDS

CUDA is up before the first line; what was loaded is freed, not cached, before each next one. The first load is a
warm-up and not printed. Lines: {"bytes": of all tensors, "seconds": from the call to a synchronize after it}.
"""

import gc
import sys

from common import emit, need, now, present


def main(path, device, rounds):
    torch, safetensors, load = need("torch", "safetensors", "safetensors.torch")
    if not torch.cuda.is_available():
        emit(event="absent", reason="torch.cuda.is_available() is False")
        return
    present(torch=torch.__version__, safetensors=safetensors.__version__)
    torch.cuda.set_device(device)
    torch.ones(1, device="cuda")
    for turn in range(rounds + 1):
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
        begin = now()
        tensors = load.load_file(path, device=f"cuda:{device}")
        torch.cuda.synchronize()
        seconds = (now() - begin) / 1e9
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if turn > 0:
            emit(bytes=size, seconds=seconds)
        del tensors


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
