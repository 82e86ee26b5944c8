import { randomBytes } from "node:crypto";

// Each test file, with the processes it starts, has a machine of its own on the host driver: what another file
// allocates at the same time does not count here.
process.env.CUDA_IPC_HOST_SCOPE = randomBytes(4).toString("hex");
process.env.CUDA_IPC_HOST_MEMORY ??= "1G";
