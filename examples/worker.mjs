import { attach } from "cuda-ipc";

const weights = await attach("llm");
try {
  for (const tensor of weights.tensors()) {
    console.log(tensor.name, tensor.dtype, tensor.shape, `0x${tensor.devicePointer.toString(16)}`);
  }
} finally {
  await weights.release();
}
