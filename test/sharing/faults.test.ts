// The driver fails, at each of its calls in turn: every failure is a coded error, leaves nothing, and the same
// process goes on as soon as the driver does.
import { describe, expect, test } from "vitest";
import type { Child } from "../helpers/child.js";
import { faultAtEachCall, hostMachine, startHostOwner, startHostWorker } from "../helpers/host.js";
import { folder, sharings, someTensors } from "../helpers/sharing.js";

const calls = (names: string) => names.trim().split(/\s+/);

/** Two slabs, on a device each: what has been done for the one is undone when the other fails. */
const placement = { floats: 0, bytes: 1 };

const bringUp = calls(
  "cuInit cuDeviceGetCount cuDeviceGet cuDeviceGetUuid cuDevicePrimaryCtxRetain cuCtxPushCurrent",
);

// What both ways of sharing have in common is tried with one of them.
const loadCalls = {
  vmm: [
    ...bringUp,
    ...calls("cuDeviceGetName cuDeviceTotalMem cuDeviceGetAttribute cuDeviceGetPCIBusId"),
    ...calls("cuMemGetAllocationGranularity cuMemCreate cuMemAddressReserve cuMemMap cuMemSetAccess"),
    ...calls("cuMemGetAddressRange cuMemsetD8Async cuStreamCreate cuEventCreate cuMemHostRegister"),
    ...calls("cuMemcpyHtoDAsync cuEventRecord cuEventSynchronize cuModuleLoadData cuModuleGetFunction"),
    ...calls("cuMemAlloc cuLaunchKernel cuMemcpyDtoHAsync cuStreamSynchronize cuMemExportToShareableHandle"),
  ],
  ipc: calls("cuCtxPushCurrent cuMemAlloc cuIpcGetMemHandle"),
};
const attachCalls = {
  vmm: [...bringUp, ...calls("cuMemImportFromShareableHandle cuMemAddressReserve cuMemMap cuMemSetAccess")],
  ipc: calls("cuCtxPushCurrent cuIpcOpenMemHandle cuMemGetAddressRange"),
};

const onceForAll = ["cuInit", "cuDeviceGetCount", "cuDeviceGetUuid"];
/** The second slab's staging is what the first one's was. */
const atTheFirstSlabAlone = ["cuMemHostRegister"];

/** Twice at the first slab's first call, and at the second one's. */
function leastFailures(call: string): number {
  if (onceForAll.includes(call)) return 1;
  return atTheFirstSlabAlone.includes(call) ? 2 : 3;
}

/** Tries until it succeeds, so often in vain at least; `check` looks at what each failure has left. */
async function untilItSucceeds(
  child: Child,
  failures: number,
  attempt: () => Promise<void>,
  check: () => Promise<void>,
) {
  const codes: string[] = [];
  for (let i = 0; i < 200; i++) {
    try {
      await attempt();
      break;
    } catch (error) {
      codes.push((error as { code: string }).code);
      expect(codes.at(-1), `${(error as Error).stack} ${child.stderr}`).toMatch(/^ERR_CUDA_IPC_/);
      await check();
    }
  }
  expect(codes.length).toBeGreaterThanOrEqual(failures);
  expect(codes.length).toBeLessThan(200);
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
      leastFailures(call),
      () => owner.call("load", "llm", someTensors(), { sharing, placement }),
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
      placement,
    });
    const worker = await startHostWorker(machine, { faults: faultAtEachCall(call) });
    let key = -1;
    await untilItSucceeds(
      worker,
      // Both slabs at once, so both fail the first time.
      bringUp.includes(call) ? 1 : 2,
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

const undone = calls(
  "cuCtxPopCurrent cuCtxSynchronize cuMemFree cuStreamDestroy cuEventDestroy cuMemUnmap " +
    "cuMemRelease cuMemAddressFree",
);

describe.each(sharings)("loading %s", (sharing) => {
  const machine = hostMachine();

  test.each(undone)("although %s fails", async (call) => {
    const { owner } = await startHostOwner(machine, folder, {
      faults: `${call}:*=999`,
      options: { loading: "inline" },
    });
    // What the driver does not let go of goes with the process.
    owner.mayDie = true;
    await owner
      .call("load", "llm", someTensors(), { sharing, placement })
      .catch((error) => expect(error.code).toMatch(/^ERR_CUDA_IPC_/));
    await owner.call("close");
    expect(await owner.finish()).toBe(0);
    await machine.expectEmpty();
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
