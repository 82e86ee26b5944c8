import { expect, test } from "vitest";
import { attach, follow, Owner, ownerStatus } from "../../dist/lib/index.js";
import { coded } from "../helpers/errors.js";
import { folder, someTensors, startOwner } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const wrong = [0, -1, Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY, "1", null] as number[];
const longest = 2 ** 31 - 1;

test("a timeout is what a timer can be, everywhere", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors(), { writable: true });
  const { socket } = owner;
  const weights = await attach("llm", { socket });
  const waits: Record<string, (timeout: number) => Promise<unknown>> = {
    attach: (timeout) => attach("llm", { socket, timeout }),
    follow: (timeout) => follow("llm", { socket, timeout }),
    ownerStatus: (timeout) => ownerStatus({ socket, timeout }),
    "weights.latest": (timeout) => weights.latest({ timeout }),
  };
  for (const [name, wait] of Object.entries(waits)) {
    for (const timeout of wrong) {
      await expect(wait(timeout), `${name} ${timeout}`).rejects.toMatchObject({
        code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
        message: `Expected milliseconds above 0 and at most ${longest} (leave it out to wait 10,000) for timeout, but received ${
          typeof timeout === "string" ? JSON.stringify(timeout) : timeout
        } of type ${timeout === null ? "null" : typeof timeout}`,
      });
    }
  }
  await expect(weights.lock("a", { timeout: Number.POSITIVE_INFINITY })).rejects.toThrow(
    "leave it out to wait as long as it takes",
  );
  const { pid } = await ownerStatus({ socket, timeout: longest });
  expect(pid).toBe(process.pid);
  await (await attach("llm", { socket, timeout: longest })).release();
  await (await weights.latest({ timeout: longest })).release();
  await weights.release();
});

test("an owner's waits, of which the one for processes of another owner may be none", async () => {
  const socket = newSocket(folder);
  for (const timeout of wrong) {
    for (const begin of [Owner.listen, Owner.takeOver, Owner.standby]) {
      const refused = coded("INVALID_ARGUMENT");
      await expect(begin({ socket, handoverTimeout: timeout })).rejects.toThrow(refused);
      if (timeout !== 0) await expect(begin({ socket, recoveryDeadline: timeout })).rejects.toThrow(refused);
    }
  }
  await (await Owner.listen({ socket, recoveryDeadline: 0, handoverTimeout: longest })).close();
});
