// Devices are matched by their UUIDs, whatever ordinals CUDA_VISIBLE_DEVICES gives them in each process.
import { describe, expect, test } from "vitest";
import { hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { folder, sharings, someTensors } from "../helpers/sharing.js";

describe.each(sharings)("%s", (sharing) => {
  async function split() {
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder);
    const { id, checksum } = await owner.call<Record<string, string>>("load", "llm", someTensors(), {
      sharing,
      placement: { floats: 0, bytes: 1 },
    });
    const seeing = (devices: string) =>
      startHostWorker({ ...machine, env: { ...machine.env, CUDA_VISIBLE_DEVICES: devices } });
    return { owner, socket, id, checksum, seeing };
  }

  test("permuted: each tensor is on the device that it was put on", async () => {
    const { owner, socket, checksum, seeing } = await split();
    const [straight, turned] = [await seeing("0,1"), await seeing("1,0")];
    const uuids = await straight.call<string[]>("devices");
    expect(await turned.call("devices")).toEqual(uuids.toReversed());
    const key = await turned.call<number>("attach", "llm", { socket });
    expect(await turned.call("tensorFacts", key)).toMatchObject([
      { name: "floats", device: 1 },
      { name: "bytes", device: 0 },
    ]);
    expect(await turned.call("toHost", key, "floats")).toEqual(someTensors().floats);
    expect(await turned.call("computeChecksum", key)).toBe(checksum);
    expect(await owner.call("versions")).toMatchObject([{ devices: uuids }]);
  });

  test("by UUID, and only one of them: what is there is attached", async () => {
    const { owner, socket, seeing } = await split();
    await owner.call("load", "second", someTensors(), { sharing, device: 1 });
    const [, uuid] = await (await seeing("0,1")).call<string[]>("devices");
    const worker = await seeing(uuid!);
    const key = await worker.call<number>("attach", "second", { socket });
    expect(await worker.call("facts", key)).toMatchObject({ devices: [0] });
    expect(await worker.call("read", key, "bytes")).toEqual(someTensors().bytes);
  });

  test("missing: the error names the device, and no lease is left", async () => {
    const { owner, socket, id, seeing } = await split();
    const [first] = await (await seeing("0,1")).call<string[]>("devices");
    const worker = await seeing("1");
    await expect(worker.call("attach", "llm", { socket })).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_DEVICE_NOT_VISIBLE",
      details: { device: first },
    });
    await owner.call("waitForRefCount", id, 0);
    expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
  });
});
