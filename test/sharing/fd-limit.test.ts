// The limit of open descriptors is met, with any number of them left: coded errors, nothing lost, and all is well
// again as soon as there are some.
import { describe, expect, test } from "vitest";
import type { Child } from "../helpers/child.js";
import { startChild } from "../helpers/child.js";
import { hostMachine, type Machine, startHostOwner, underFdLimit } from "../helpers/host.js";
import { nothingLeft } from "../helpers/inspect.js";
import { folder, sharings, someTensors } from "../helpers/sharing.js";

const through = underFdLimit(256);

async function workerWithLimit(machine: Machine): Promise<Child> {
  const worker = startChild("worker.cjs", machine.env, through);
  await worker.call("warmUp");
  return worker;
}

/** Tries with more and more descriptors left, until it succeeds; the codes of the failures before. */
async function withFew(child: Child, attempt: () => Promise<unknown>, check: () => Promise<void>) {
  const codes: string[] = [];
  for (let few = 0; few < 40; few++) {
    await child.call("leaveFds", few);
    const error = await attempt().then(
      () => undefined,
      (error: { code: string }) => error,
    );
    await child.call("returnFds");
    if (error === undefined) return codes;
    expect(error.code, String(error)).toMatch(/^ERR_CUDA_IPC_/);
    codes.push(error.code);
    await check();
  }
  throw new Error(`never enough: ${codes.join(" ")}`);
}

describe.each(sharings)("%s", (sharing) => {
  test("a worker at its limit", async () => {
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder);
    const { id } = await owner.call<{ id: string }>("load", "llm", someTensors(), { sharing });
    const worker = await workerWithLimit(machine);
    const codes = await withFew(
      worker,
      () => worker.call("attach", "llm", { socket }),
      async () => {
        await owner.call("waitForRefCount", id, 0);
        // What the attempt had open is closed: the next one has no more than it is left.
        expect(await worker.call("leftovers")).toEqual(nothingLeft);
      },
    );
    // Told at once, and not taken for the owner's death, nor for memory that is no good.
    expect(new Set(codes)).toEqual(new Set(["ERR_CUDA_IPC_FD_LIMIT"]));
    expect(await owner.call("version", id)).toMatchObject({ refCount: 1 });
  });

  test("an owner at its limit cannot load", async () => {
    const machine = hostMachine();
    const { owner } = await startHostOwner(machine, folder, { through });
    const codes = await withFew(
      owner,
      () => owner.call("load", "llm", someTensors(), { sharing }),
      async () => {
        expect(await owner.call("versions")).toEqual([]);
        await machine.expectEmpty();
      },
    );
    expect(codes.length).toBeGreaterThan(0);
  });

  test("an owner at its limit refuses or keeps waiting whom it cannot serve, and serves them afterwards", async () => {
    const machine = hostMachine();
    const { owner, socket } = await startHostOwner(machine, folder, { through });
    const { id } = await owner.call<{ id: string }>("load", "llm", someTensors(), { sharing });
    const worker = await workerWithLimit(machine);
    const first = await worker.call<number>("attach", "llm", { socket });
    await withFew(
      owner,
      () => worker.call("attach", "llm", { socket, timeout: 500 }),
      async () => {
        await owner.call("waitForRefCount", id, 1);
      },
    );
    const late = await workerWithLimit(machine);
    await withFew(
      owner,
      () => late.call("attach", "llm", { socket, timeout: 500 }),
      async () => {
        await owner.call("waitForRefCount", id, 2);
      },
    );
    await late.call("attach", "llm", { socket });
    expect(await worker.call("computeChecksum", first)).toEqual(expect.any(String));
  });
});
