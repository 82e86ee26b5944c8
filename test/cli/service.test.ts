// `cuda-ipc serve` as a service with a store.
import { cpSync, existsSync, readdirSync, rmSync, utimesSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { type RunningCommand, startCommand } from "../helpers/command.js";
import { type Manager, startManager } from "../helpers/service.js";
import { fixtures, folder } from "../helpers/sharing.js";
import { startHolder } from "../helpers/survival.js";
import { newSocket } from "../helpers/temporary.js";

let copies = 0;

/** A checkpoint of the test's own. */
function checkpoint(): string {
  const copy = path.join(folder, `model${copies++}`);
  cpSync(path.join(fixtures, "llama-sharded"), copy, { recursive: true });
  return copy;
}

function serve(manager: Manager, model: string, socket: string, ...more: string[]) {
  const args = ["serve", model, "--name", "llm", "--socket", socket, ...more];
  return startCommand(args, { env: manager.env, through: manager.through });
}

async function ended(command: RunningCommand): Promise<void> {
  command.kill("SIGTERM");
  await command.ended;
}

async function contentOf(socket: string) {
  const { worker, key } = await startHolder("llm", { socket });
  const hashes = await worker.call("hashes", key);
  await worker.call("release", key);
  return hashes;
}

test.each(["SIGTERM", "SIGKILL"] as const)("%s, and it is started again: nothing is read", async (signal) => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const model = checkpoint();
  const first = serve(manager, model, socket);
  await first.until("Serving");
  await manager.holding(2);
  const hashes = await contentOf(socket);
  first.kill(signal);
  const { stdout, code } = await first.ended;
  if (signal === "SIGTERM") {
    expect(stdout).toContain("Closing. The service manager keeps 1 version.");
    expect(code).toBe(0);
    expect(existsSync(socket)).toBe(false);
  }
  expect(await manager.look()).toHaveLength(2);
  // Unchanged or gone, it makes no difference.
  if (signal === "SIGKILL") rmSync(model, { recursive: true });

  const second = serve(manager, model, socket);
  await second.until("Serving llm, version 1");
  expect(second.stdout).toMatch(/^Recovered .*: 30 tensors, .*, not read again\.$/m);
  expect(await contentOf(socket)).toEqual(hashes);
  await ended(second);
});

test("a checkpoint that has changed is loaded, and what it replaces is removed", async () => {
  const manager = await startManager();
  const socket = newSocket(folder);
  const model = checkpoint();
  const first = serve(manager, model, socket);
  await first.until("Serving");
  const names = [...(await manager.holding(2))];
  first.kill("SIGKILL");
  await first.ended;
  const [file] = readdirSync(model).filter((name) => name.endsWith(".safetensors"));
  const later = new Date(Date.now() + 1000);
  utimesSync(path.join(model, file!), later, later);
  const second = serve(manager, model, socket);
  await second.until("Serving llm, version 2");
  await manager.until(({ stored }) => stored.length === 2 && !stored.some((name) => names.includes(name)));
  await ended(second);
});

test("it stores nothing where it is told not to", async () => {
  const manager = await startManager();
  const command = serve(manager, checkpoint(), newSocket(folder), "--service-manager", "no");
  await command.until("Serving");
  command.kill("SIGTERM");
  const { code, stderr } = await command.ended;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  await manager.look();
  expect(manager.messages).toEqual([]);
});

test("asked for where there is none, it says so", async () => {
  const args = ["serve", checkpoint(), "--name", "llm", "--socket", newSocket(folder)];
  const command = startCommand([...args, "--service-manager", "yes"]);
  const { code, stderr } = await command.ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^cuda-ipc: .*\[ERR_CUDA_IPC_SERVICE_MANAGER\]\n$/);
});
