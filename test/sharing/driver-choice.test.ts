import "../helpers/on-host-driver.js";
import { afterEach, expect, test } from "vitest";
import { attach, Owner } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { type Child, startChild } from "../helpers/child.js";
import { coded } from "../helpers/errors.js";
import { newSocket, temporaryFolder } from "../helpers/temporary.js";

// Nothing here may bring CUDA up in this process: then it has its driver for good.
const folder = temporaryFolder();
const model = { a: Uint8Array.of(1, 2, 3) };

afterEach(() => {
  expect(native.driverIsUp()).toBe(false);
  expect(native.chosenProvider()).toBe("host");
});

/** Whether another driver could be chosen now. */
function isFree(): boolean {
  try {
    native.pinProvider("libcuda").close();
    return true;
  } catch {
    return false;
  }
}

async function startOtherOwner() {
  const socket = newSocket(folder);
  const child = startChild("owner.cjs");
  await child.call("listen", { socket });
  return { socket, end: () => kill(child) };
}

async function kill(child: Child): Promise<void> {
  child.kill();
  await child.exited;
}

test("whoever would have another driver than this process's owner is refused, and the owner goes on", async () => {
  const socket = newSocket(folder);
  const owner = await Owner.listen({ socket, driver: "host" });
  await owner.load("m", model);
  const driver = "libcuda";
  const inUse = coded("DRIVER_IN_USE");
  await expect(Owner.listen({ driver, socket: newSocket(folder) })).rejects.toThrow(inUse);
  await expect(Owner.standby({ driver, socket: newSocket(folder) })).rejects.toThrow(inUse);
  await expect(Owner.takeOver({ driver, socket: newSocket(folder) })).rejects.toThrow(inUse);
  await expect(attach("m", { driver, socket })).rejects.toThrow(inUse);
  await expect(attach("m", { driver, socket: newSocket(folder) })).rejects.toThrow(inUse);
  const mode = 7777777;
  await expect(Owner.listen({ driver, mode, socket: newSocket(folder) })).rejects.toThrow(
    coded("INVALID_ARGUMENT"),
  );
  await owner.load("m", model);
  await owner.close();
  expect(isFree()).toBe(true);
});

test("so is whoever would have another one than a standby's, until that is closed", async () => {
  const other = await startOtherOwner();
  const standby = await Owner.standby({ socket: other.socket });
  await expect(Owner.listen({ driver: "libcuda", socket: newSocket(folder) })).rejects.toThrow(
    coded("DRIVER_IN_USE"),
  );
  await standby.close();
  expect(isFree()).toBe(true);
  await other.end();
});

test("a standby's driver is that of the owner that it becomes", async () => {
  const other = await startOtherOwner();
  const standby = await Owner.standby({ socket: other.socket });
  await other.end();
  const owner = await standby.owner;
  expect(isFree()).toBe(false);
  await owner.close();
  expect(isFree()).toBe(true);
});

test("an owner that is handed over takes its driver's choice with it", async () => {
  const socket = newSocket(folder);
  const owner = await Owner.listen({ socket });
  const child = startChild("owner.cjs");
  await child.call("takeOver", { socket });
  expect(isFree()).toBe(true);
  await owner.close();
  await kill(child);
});

test("what fails has chosen nothing", async () => {
  const other = await startOtherOwner();
  const driver = "libcuda";
  const { socket } = other;
  await expect(Owner.listen({ driver, socket })).rejects.toThrow(coded("OWNER_RUNNING"));
  await expect(Owner.standby({ driver, socket: newSocket(folder) })).rejects.toThrow(coded("NO_OWNER"));
  await expect(Owner.takeOver({ driver, socket: newSocket(folder) })).rejects.toThrow(coded("NO_OWNER"));
  // Where there is a GPU, it must not come up: libcuda would be this process's driver for good.
  process.env.CUDA_VISIBLE_DEVICES = "-1";
  await expect(attach("m", { driver, socket: newSocket(folder) })).rejects.toThrow(coded("NO_OWNER"));
  delete process.env.CUDA_VISIBLE_DEVICES;
  const signal = AbortSignal.abort(new Error("before"));
  await expect(attach("m", { driver, socket, signal })).rejects.toThrow("before");
  expect(native.chosenProvider()).toBe("host");
  const owner = await Owner.listen({ socket: newSocket(folder) });
  await owner.load("m", model);
  await owner.close();
  await other.end();
});

test("what succeeds has chosen for the rest of the process", async () => {
  process.env.CUDA_IPC_DRIVER = "libcuda";
  const owner = await Owner.listen({ socket: newSocket(folder), driver: "host" });
  await owner.close();
  expect(native.chosenProvider()).toBe("host");
});
