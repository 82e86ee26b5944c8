// The driver fails, at each of its calls in turn: every failure is a coded error, leaves nothing, and the same
// process goes on as soon as the driver does.
import { describe, expect, test } from "vitest";
import type { Child } from "../helpers/child.js";
import { faultAtEachCall, hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { folder, sharings, someTensors } from "../helpers/sharing.js";

const calls = (names: string) => names.trim().split(/\s+/);

const bringUp = calls("cuInit cuDeviceGetCount cuDeviceGet cuDevicePrimaryCtxRetain cuCtxPushCurrent");

// What both ways of sharing have in common is tried with one of them.
const loadCalls = {
  vmm: [
    ...bringUp,
    ...calls("cuDeviceGetName cuDeviceTotalMem cuDeviceGetAttribute cuDeviceGetPCIBusId"),
    ...calls("cuMemGetAllocationGranularity cuMemCreate cuMemAddressReserve cuMemMap cuMemSetAccess"),
    ...calls(
      "cuMemsetD8Async cuStreamCreate cuEventCreate cuMemHostRegister cuMemcpyHtoDAsync cuEventRecord",
    ),
    ...calls("cuEventSynchronize cuModuleLoadData cuModuleGetFunction cuMemAlloc cuLaunchKernel"),
    ...calls("cuMemcpyDtoHAsync cuStreamSynchronize cuMemExportToShareableHandle"),
  ],
  ipc: calls("cuCtxPushCurrent cuMemAlloc cuIpcGetMemHandle"),
};
const attachCalls = {
  vmm: [...bringUp, ...calls("cuMemImportFromShareableHandle cuMemAddressReserve cuMemMap cuMemSetAccess")],
  ipc: calls("cuCtxPushCurrent cuIpcOpenMemHandle cuMemGetAddressRange"),
};

/** Tries until it succeeds, at least once in vain; `check` looks at what each failure has left. */
async function untilItSucceeds(child: Child, attempt: () => Promise<void>, check: () => Promise<void>) {
  const codes: string[] = [];
  for (let i = 0; i < 60; i++) {
    try {
      await attempt();
      break;
    } catch (error) {
      codes.push((error as { code: string }).code);
      expect(codes.at(-1), `${(error as Error).stack} ${child.stderr}`).toMatch(/^ERR_CUDA_IPC_/);
      await check();
    }
  }
  expect(codes.length).toBeGreaterThan(0);
  expect(codes.length).toBeLessThan(60);
}

describe.each(sharings)("loading %s", (sharing) => {
  const machine = hostMachine();

  test.each(loadCalls[sharing])("%s", async (call) => {
    const { owner } = await startHostOwner(machine, folder, {
      faults: faultAtEachCall(call),
      options: { loading: "inline" },
    });

    await untilItSucceeds(
      owner,
      () => owner.call("load", "llm", someTensors(), { sharing }),
      async () => {
        expect(await machine.memoryInUse()).toBe(0);
        expect(await owner.call("versions")).toEqual([]);
      },
    );
    await owner.call("close");
    await machine.expectEmpty();
  });
});

describe.each(sharings)("attaching %s", (sharing) => {
  const machine = hostMachine();

  test.each(attachCalls[sharing])("%s", async (call) => {
    const { owner, socket } = await startHostOwner(machine, folder);
    const { id, checksum } = await owner.call<Record<string, string>>("load", "llm", someTensors(), {
      sharing,
    });
    const worker = await startHostWorker(machine, { faults: faultAtEachCall(call) });
    let key = -1;
    await untilItSucceeds(
      worker,
      async () => {
        key = await worker.call<number>("attach", "llm", { socket });
      },
      async () => {
        await owner.call("waitForRefCount", id, 0);
        expect(await worker.call("mappings")).toEqual({ mappings: 0, references: 0 });
      },
    );
    expect(await owner.call("version", id)).toMatchObject({ refCount: 1 });
    expect(await worker.call("facts", key)).toMatchObject({ checksum });
  });
});

const letGo = {
  vmm: ["cuCtxSynchronize", "cuMemUnmap", "cuMemAddressFree", "cuMemRelease", "cuCtxPopCurrent"],
  ipc: ["cuCtxSynchronize", "cuIpcCloseMemHandle", "cuCtxPopCurrent"],
};

describe.each(sharings)("releasing %s", (sharing) => {
  const machine = hostMachine();

  test.each(letGo[sharing])("a lease ends although %s fails", async (call) => {
    const { owner, socket } = await startHostOwner(machine, folder);
    const { id } = await owner.call<{ id: string }>("load", "llm", someTensors(), { sharing });
    const worker = await startHostWorker(machine, { faults: `${call}:*=999` });
    // What the driver does not let go of goes with the process.
    worker.mayDie = true;
    const key = await worker.call<number>("attach", "llm", { socket });
    await worker.call("release", key).catch((error) => expect(error.code).toMatch(/^ERR_CUDA_IPC_/));
    await owner.call("waitForRefCount", id, 0);
    expect(await worker.finish()).toBe(0);
    await owner.call("close");
    await machine.expectEmpty();
  });
});
