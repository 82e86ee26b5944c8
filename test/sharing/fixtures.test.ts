// Every tensor of real safetensors files arrives in a worker process byte for byte.
import path from "node:path";
import { expect, test } from "vitest";
import expected from "../fixtures/expected.json";
import { fixtures, sharings, startOwner, startWorker } from "../helpers/sharing.js";

type Facts = Record<string, { dtype: string; shape: number[]; sha256: string }>;

function expectedOf(folder: keyof typeof expected): Facts {
  return Object.fromEntries(
    Object.entries(expected[folder]).map(([name, { dtype, shape, sha256 }]) => [
      name,
      { dtype, shape, sha256 },
    ]),
  );
}

const inputs = [
  ["llama-single", "llama-single/model.safetensors"],
  ["llama-sharded", "llama-sharded/model.safetensors.index.json"],
  ["llama-sharded", "llama-sharded"],
  ["dtypes", "dtypes/dtypes.safetensors"],
] as const;

for (const sharing of sharings) {
  test.each(inputs)(`${sharing}: %s from %s`, async (name, input) => {
    const owner = await startOwner();
    const version = await owner.load(name, path.join(fixtures, input), { sharing });
    const worker = await startWorker();
    const key = await worker.call<number>("attach", name, { socket: owner.socket });
    expect(await worker.call("facts", key)).toMatchObject({ sharing, checksum: version.checksum });
    expect(await worker.call("hashes", key)).toEqual(expectedOf(name));
    expect(await worker.call("computeChecksum", key)).toBe(version.checksum);
  });
}
