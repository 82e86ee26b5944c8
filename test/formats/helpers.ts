import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import type { CudaIpcError } from "../../dist/lib/errors.js";

export const fixtures = path.join(__dirname, "../fixtures");

/** The bytes of a safetensors file, right or wrong: nothing is checked or completed. */
export function fileBytes(header: string | Uint8Array | object, dataBytes = 0, claimed?: bigint): Buffer {
  const json = header instanceof Uint8Array || typeof header === "string" ? header : JSON.stringify(header);
  const bytes = Buffer.from(json as string);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(claimed ?? BigInt(bytes.length));
  return Buffer.concat([prefix, bytes, Buffer.alloc(dataBytes, 7)]);
}

/** A folder for the files of one test file; `put` writes one and returns its path. */
export function scratch(): {
  path(name: string): string;
  put(name: string, bytes: string | Uint8Array): Promise<string>;
} {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "cuda-ipc-formats-"));
  });
  afterAll(() => rm(folder, { recursive: true }));
  return {
    path: (name) => path.join(folder, name),
    put: async (name, bytes) => {
      const file = path.join(folder, name);
      await writeFile(file, bytes);
      return file;
    },
  };
}

/** The coded error that the promise is rejected with. */
export async function refusalOf(
  promise: Promise<unknown>,
  code = "ERR_CUDA_IPC_FORMAT",
): Promise<CudaIpcError> {
  const error = await promise.then(
    () => expect.fail("nothing was refused"),
    (reason) => reason as CudaIpcError,
  );
  expect(error).toMatchObject({ code });
  return error;
}
