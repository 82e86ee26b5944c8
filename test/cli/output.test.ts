import { existsSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { startCommand } from "../helpers/command.js";
import { fixtures, folder, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const model = path.join(fixtures, "llama-sharded");
const toFullDisk = { through: ["sh", "-c", 'exec "$@" > /dev/full', "sh"] };

test("an owner goes on when the reader of its output has gone", async () => {
  const socket = newSocket(folder);
  const command = startCommand(["serve", model, "--name", "llm", "--socket", socket, "--sharing", "ipc"]);
  await command.until("Serving");
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket });
  command.stopReading();
  // It says that it waits for the lease, to nobody, and waits for it.
  command.kill("SIGTERM");
  await worker.call("computeChecksum", key);
  await worker.call("release", key);
  expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
  expect(existsSync(socket)).toBe(false);
});

test("an owner whose output cannot be written says so once, and goes on", async () => {
  const socket = newSocket(folder);
  const command = startCommand(["serve", model, "--name", "llm", "--socket", socket], toFullDisk);
  await command.untilError("[ERR_CUDA_IPC_SYSTEM]\n");
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket });
  await worker.call("release", key);
  command.kill("SIGTERM");
  const { code, stderr } = await command.ended;
  expect(stderr).toMatch(/^cuda-ipc: Standard output cannot be written: ENOSPC: [^\n]*\n$/);
  expect(code).toBe(1);
  expect(existsSync(socket)).toBe(false);
});

test.each([["inspect", model], ["inspect", model, "--json"], ["devices"], ["--help"]])(
  "what nobody reads any more is no error: %s %s %s",
  async (...args) => {
    const command = startCommand(args);
    command.stopReading();
    expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
  },
);

test("what cannot be written is one line and status 1", async () => {
  const owner = await startOwner();
  for (const args of [
    ["inspect", model],
    ["inspect", model, "--json"],
    ["status", "--socket", owner.socket],
  ]) {
    const { code, stderr } = await startCommand(args, toFullDisk).ended;
    expect(stderr).toMatch(/^cuda-ipc: Standard output .*no space left.* \[ERR_CUDA_IPC_SYSTEM\]\n$/);
    expect(code).toBe(1);
  }
});
