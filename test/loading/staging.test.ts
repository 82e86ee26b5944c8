// The staging memory of a load serves the next one of the same process, whatever its device.
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { expect, test } from "vitest";
import { hostMachine, startHostOwner } from "../helpers/host.js";
import { block, folder, MIB, sharings, someTensors } from "../helpers/sharing.js";

// One thread that reads has two chunks.
const onlyOneLoadsStaging = "cuMemHostRegister:3-=999";

test.each(sharings)("only the first load of a process locks host memory (%s)", async (sharing) => {
  const machine = hostMachine();
  const { owner } = await startHostOwner(machine, folder, {
    faults: onlyOneLoadsStaging,
    options: { loading: "inline" },
  });
  const first = await owner.call("load", "llm", block(16 * MIB, 1), { sharing, threads: 1 });
  const second = await owner.call("load", "llm", block(16 * MIB, 2), { sharing, threads: 1, device: 1 });
  expect(second).not.toMatchObject({ checksum: (first as { checksum: string }).checksum });
  await owner.call("load", "small", someTensors(), { sharing, placement: { floats: 0, bytes: 1 } });
});

test("it outlives the worker thread that loaded, also one that was terminated, and ends with the process", async () => {
  const env = { ...process.env, ...hostMachine().env, CUDA_IPC_HOST_FAULTS: onlyOneLoadsStaging };
  const child = spawn(process.execPath, [path.join(__dirname, "children/staging-threads.cjs")], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  expect(await once(child, "close")).toEqual([0, null]);
  expect(stderr).toBe("");
});
