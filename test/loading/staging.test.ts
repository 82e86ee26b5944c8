// The staging memory of a load serves the next one of the same process, whatever its device.
import { expect, test } from "vitest";
import { hostMachine, startHostOwner } from "../helpers/host.js";
import { block, folder, MIB, sharings, someTensors } from "../helpers/sharing.js";

test.each(sharings)("only the first load of a process locks host memory (%s)", async (sharing) => {
  const machine = hostMachine();
  const { owner } = await startHostOwner(machine, folder, {
    // One thread has two chunks.
    faults: "cuMemHostRegister:3-=999",
    options: { loading: "inline" },
  });
  const first = await owner.call("load", "llm", block(16 * MIB, 1), { sharing, threads: 1 });
  const second = await owner.call("load", "llm", block(16 * MIB, 2), { sharing, threads: 1, device: 1 });
  expect(second).not.toMatchObject({ checksum: (first as { checksum: string }).checksum });
  await owner.call("load", "small", someTensors(), { sharing, placement: { floats: 0, bytes: 1 } });
});
