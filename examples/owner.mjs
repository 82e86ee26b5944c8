import { Owner } from "cuda-ipc";

const owner = await Owner.listen();
const version = await owner.load("llm", process.argv[2]);
console.log(`${version.tensors} tensors, ${version.bytes} bytes of device memory, on ${owner.socket}`);

process.once("SIGINT", () => owner.close());
process.once("SIGTERM", () => owner.close());
