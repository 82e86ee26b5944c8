// ipc memory dies with its owner for everybody but those who have it mapped.
import { expect, test } from "vitest";
import { someTensors, startWorker } from "../helpers/sharing.js";
import { kill, startHolder, startMortal, startSuccessor, stop } from "../helpers/survival.js";

const sharing = "ipc";

test("live workers keep it and are counted, new ones are told why not, until it is loaded anew", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors(), { sharing, pinned: true });
  const { worker, key } = await startHolder("set", { socket });
  const { worker: stopped } = await startHolder("set", { socket });
  const bytes = await worker.call("hashes", key);
  await stop(stopped);
  await kill(mortal.child);
  expect(await worker.event("ownerlost")).toBeDefined();

  const { owner, lost } = await startSuccessor(socket);
  expect(await worker.event("ownerfound")).toMatchObject({ detail: { kept: true } });
  expect(await worker.call("hashes", key)).toEqual(bytes);
  const [orphan] = owner.versions();
  expect(orphan).toMatchObject({ id, presence: "orphaned", refCount: 1, refCountExact: false });
  expect(owner.current("set")).toBeUndefined();
  const late = await startWorker();
  const died = expect.objectContaining({ code: "ERR_CUDA_IPC_OWNER_DIED" });
  await expect(late.call("attach", "set", { socket })).rejects.toThrow(died);
  await expect(late.call("attach", "set", { socket, version: id })).rejects.toThrow(died);

  stopped.resume();
  const outcome = await owner.whenRecovered();
  expect(outcome.lost).toEqual([orphan]);
  expect(lost).toEqual(["set 1"]);
  expect(orphan).toMatchObject({ refCount: 2, refCountExact: true });
  await expect(late.call("attach", "set", { socket })).rejects.toThrow(died);

  const next = await owner.load("set", someTensors(2), { sharing });
  expect(next.number).toBe(2);
  expect(await worker.event("retired")).toBeDefined();
  const newest = await late.call<number>("attach", "set", { socket });
  expect(await late.call("facts", newest)).toMatchObject({ version: { id: next.id, number: 2 } });
  expect(await worker.call("hashes", key)).toEqual(bytes);
  const freed = orphan!.whenFreed();
  await worker.call("release", key);
  await kill(stopped);
  await freed;
  expect(owner.versions()).toEqual([next]);
});

test("without a worker it is lost at once, and a lease ends by death alone", async () => {
  const mortal = await startMortal();
  const { socket } = mortal;
  await mortal.load("nobody's", someTensors(), { sharing });
  await mortal.load("set", someTensors(), { sharing });
  const { worker } = await startHolder("set", { socket });
  await kill(mortal.child);
  const { owner, lost } = await startSuccessor(socket);
  await owner.whenRecovered();
  expect(lost.sort()).toEqual(["nobody's 1", "set 1"]);
  const [version] = owner.versions();
  expect(owner.versions()).toMatchObject([{ set: "set", refCount: 1 }]);
  await worker.call("disconnect");
  const freed = version!.whenFreed();
  await kill(worker);
  await freed;
});
