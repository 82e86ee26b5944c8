// Weights that take a device to its last byte: nothing else that a load or an attach does takes device memory.
import { describe, expect, test } from "vitest";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { block, folder, MIB, sharings } from "../helpers/sharing.js";

describe.each(sharings)("%s", (sharing) => {
  test.each(["process", "inline"])("loaded (%s), checked and attached", async (loading) => {
    const machine = hostMachine({ memory: "8M", devices: 1 });
    const { owner, socket } = await startHostOwner(machine, folder, { options: { loading } });
    const worker = await startHostWorker(machine);
    const { checksum } = await owner.call<{ checksum: string }>("load", "llm", block(8 * MIB, 5), {
      sharing,
      verify: true,
    });
    expect(await machine.memoryInUse()).toBe(8 * MIB);
    const key = await worker.call<number>("attach", "llm", { socket });
    expect(await worker.call("computeChecksum", key)).toBe(checksum);

    // With room to spare, the same content has the same checksum.
    const roomy = await startHostOwner(hostMachine(), folder, { options: { loading } });
    const other = await roomy.owner.call("load", "llm", block(8 * MIB, 5), { sharing });
    expect(other).toMatchObject({ checksum });
  });
});
