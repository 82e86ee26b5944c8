import { expect } from "vitest";

/** Matches an error by its code, without the prefix they all have. */
export const coded = (code: string) => expect.objectContaining({ code: `ERR_CUDA_IPC_${code}` });
