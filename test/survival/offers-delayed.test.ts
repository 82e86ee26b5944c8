// Memory that is given back while the process that is to look at it fails: it is looked at again.
import "../helpers/on-host-driver.js";
import { expect, test } from "vitest";
import { someTensors } from "../helpers/sharing.js";
import { kill, startHolder, startMortal, startSuccessor } from "../helpers/survival.js";
import { injectInLoaders } from "../loading/faults.js";

test.each([
  ["2", "OUT_OF_MEMORY"],
  ["kill", "LOADER_DIED"],
])("memory that cannot be looked at now (%s) is looked at again", async (fault, code) => {
  const mortal = await startMortal();
  const { socket } = mortal;
  const { id } = await mortal.load("set", someTensors());
  await startHolder("set", { socket });
  await kill(mortal.child);
  injectInLoaders(`cuMemImportFromShareableHandle:*=${fault}`);
  const { owner, lost, refused } = await startSuccessor(socket);
  const delayed = await new Promise((resolve) => owner.once("error", resolve));
  expect(delayed).toMatchObject({ code: `ERR_CUDA_IPC_${code}` });
  expect(owner.recovering).toBe(true);
  injectInLoaders("");
  await owner.whenRecovered();
  expect(owner.current("set")).toMatchObject({ id, refCount: 1, presence: "present" });
  expect([lost, refused]).toEqual([[], []]);
});
