import type { Attachment } from "./attachment.js";

/** The safety net under Weights that nobody released. */
const registry = new FinalizationRegistry<Attachment>((attachment) => {
  if (attachment.ended) return;
  const { set, number } = attachment.version;
  const name = `The weights ${JSON.stringify(set)} (version ${number})`;
  if (attachment.exposed) {
    // A kernel or another addon may hold the pointer: unmapping now could fault the GPU under it.
    process.emitWarning(
      `${name} were collected without release() after a devicePointer had left: their memory stays mapped and their lease held until this process ends.`,
      { type: "CudaIpcWarning", code: "CUDA_IPC_UNRELEASED_POINTER" },
    );
    return;
  }
  process.emitWarning(
    `${name} were collected without release(). They are released now; call release() in time.`,
    {
      type: "CudaIpcWarning",
      code: "CUDA_IPC_UNRELEASED",
    },
  );
  attachment.end().catch((error: Error) => process.emitWarning(error));
});

/** Warns, and ends the lease where that is safe, when `weights` is collected while its lease is held. */
export function watchForCollection(weights: object, attachment: Attachment): void {
  registry.register(weights, attachment);
}
