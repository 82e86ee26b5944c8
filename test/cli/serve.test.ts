import { chmodSync, existsSync, statSync, utimesSync } from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { Owner, ownerStatus } from "../../dist/lib/index.js";
import { startCommand } from "../helpers/command.js";
import { fixtures, folder, modelFile, sharings, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

const model = path.join(fixtures, "llama-sharded");
const driver = process.env.CUDA_IPC_DRIVER!;

/** A checkpoint of one tensor, large enough for its load to be seen. Sparse: it takes no room on the disk. */
async function largeModel(bytes: number): Promise<string> {
  const file = path.join(folder, "large.safetensors");
  const header = Buffer.from(
    JSON.stringify({ zeros: { dtype: "U8", shape: [bytes], data_offsets: [0, bytes] } }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = await open(file, "w");
  await handle.write(Buffer.concat([length, header]));
  await handle.truncate(8 + header.length + bytes);
  await handle.close();
  return file;
}

describe.each(sharings)("serve, sharing %s", (sharing) => {
  test.each(["SIGINT", "SIGTERM"] as const)("publishes a model and closes at %s", async (signal) => {
    const socket = newSocket(folder);
    const command = startCommand(["serve", model, "--name", "llm", "--socket", socket, "--sharing", sharing]);
    await command.until(`Serving llm, version 1, on ${socket} (pid ${command.pid}).`);
    expect(command.stdout).toContain(`sharing ${sharing}`);
    expect(command.stdout).toContain(`Driver ${driver}`);

    const worker = await startWorker();
    const key = await worker.call<number>("attach", "llm", { socket });
    const { sets, pid } = await ownerStatus({ socket });
    expect(pid).toBe(command.pid);
    expect(sets).toMatchObject([
      { name: "llm", versions: [{ number: 1, refCount: 1, sharing, tensors: 30 }] },
    ]);
    expect(command.stdout).toContain(sets[0]!.versions[0]!.checksum);
    await worker.call("release", key);

    command.kill(signal);
    const { code, stdout, stderr } = await command.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/Closed\.\n$/);
    expect(existsSync(socket)).toBe(false);
  });
});

test("after a crash it keeps what workers give back of a file that has not changed, and loads one that has", async () => {
  const socket = newSocket(folder);
  const file = await modelFile(100_000);
  const serve = () => startCommand(["serve", file, "--name", "llm", "--socket", socket, "--sharing", "vmm"]);
  const first = serve();
  await first.until("Serving");
  expect(first.stdout).toContain(`Loaded ${file}: 1 tensor`);
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket });
  first.kill("SIGKILL");
  await first.ended;

  const second = serve();
  await second.until("Serving llm, version 1,");
  expect(second.stdout).toMatch(/^Recovered .*: 1 tensor, .*, not read again\.$/m);
  expect(second.stdout).not.toContain("Loaded");
  expect((await ownerStatus({ socket })).sets[0]!.versions).toMatchObject([{ number: 1, refCount: 1 }]);
  second.kill("SIGKILL");
  await second.ended;

  utimesSync(file, new Date(), new Date());
  const third = serve();
  await third.until("Serving llm, version 2,");
  expect(third.stdout).toContain(`Loaded ${file}: 1 tensor`);
  expect(third.stdout).toContain("Version 1 was not kept:");
  expect(third.stdout).not.toContain("Recovered");
  await worker.event("superseded");
  await worker.call("release", key);
  third.kill("SIGTERM");
  expect((await third.ended).code).toBe(0);
});

test("a vmm owner closes with leases out: its workers keep the memory", async () => {
  const socket = newSocket(folder);
  const command = startCommand(["serve", model, "--name", "llm", "--socket", socket, "--sharing", "vmm"]);
  await command.until("Serving");
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket });
  command.kill("SIGTERM");
  const { code, stdout } = await command.ended;
  expect(code).toBe(0);
  expect(stdout).toContain("The holders of 1 lease keep the memory.");
  const { checksum } = await worker.call<{ checksum: string }>("facts", key);
  expect(await worker.call("computeChecksum", key)).toBe(checksum);
  await worker.call("release", key);
});

test("an ipc owner waits for its leases", async () => {
  const socket = newSocket(folder);
  const command = startCommand(["serve", model, "--name", "llm", "--socket", socket, "--sharing", "ipc"]);
  await command.until("Serving");
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket });
  command.kill("SIGINT");
  await command.until("Closing when 1 lease has ended");
  await worker.call("release", key);
  expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
});

test.each([
  { signal: "SIGINT", code: 130 },
  { signal: "SIGTERM", code: 143 },
] as const)("a second signal forces it: $signal", async ({ signal, code }) => {
  const socket = newSocket(folder);
  const command = startCommand(["serve", model, "--name", "llm", "--socket", socket, "--sharing", "ipc"]);
  await command.until("Serving");
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket });
  command.kill(signal);
  await command.until("Closing when 1 lease has ended");
  command.kill(signal);
  expect((await command.ended).code).toBe(code);
  await worker.call("release", key);
  // The next owner is not kept out by what the first one left.
  await (await Owner.listen({ socket })).close();
});

test("at a terminal a bar shows the load, and Ctrl-C ends it", async () => {
  const socket = newSocket(folder);
  const file = await largeModel(900 << 20);
  const command = startCommand(["serve", file, "--name", "llm", "--socket", socket], { terminal: true });
  await command.until("% ");
  command.type("\u0003");
  const { code, stdout } = await command.ended;
  expect(stdout).toMatch(/Loading .*%.*of 944 MB.*\/s/);
  expect(stdout).toContain("Stopped while loading; nothing stays allocated.");
  expect(stdout).not.toContain("Serving");
  expect(code).toBe(0);
  expect(existsSync(socket)).toBe(false);
});

test("without a terminal there is no bar", async () => {
  const socket = newSocket(folder);
  const command = startCommand(["serve", model, "--name", "llm", "--socket", socket]);
  await command.until("Serving");
  command.kill("SIGTERM");
  const { stdout, stderr } = await command.ended;
  expect(stderr).toBe("");
  expect(stdout).not.toContain("\u001b");
  expect(stdout).not.toContain("Loading");
});

// Only root can become somebody else.
test("--allow-uid lets further users in", async () => {
  // Only root can be somebody else; anybody else sees that the socket is open to others, and that he is still let in.
  const root = process.getuid!() === 0;
  chmodSync(folder, 0o755);
  const socket = newSocket(folder);
  const allowed = ["--allow-uid", "65534", "65533", "--allow-uid", "65532"];
  const command = startCommand(["serve", model, "--name", "llm", "--socket", socket, ...allowed]);
  await command.until("Serving");
  // Whoever is to attach may open it; as whom, the owner asks the kernel.
  expect(statSync(socket).mode & 0o777).toBe(0o666);
  const status = (through: string[]) =>
    startCommand(["status", "--socket", socket], through.length > 0 ? { through } : {}).ended;
  const as = (uid: number) => ["setpriv", `--reuid=${uid}`, "--clear-groups"];
  for (const through of root ? [65534, 65533, 65532].map(as) : [[]]) {
    expect(await status(through)).toMatchObject({ code: 0, stderr: "" });
  }
  if (root) {
    const { code, stderr } = await status(as(65531));
    expect(code).toBe(1);
    expect(stderr).toMatch(/--allow-uid.*\[ERR_CUDA_IPC_FORBIDDEN\]\n$/);
  }
  command.kill("SIGTERM");
  await command.ended;
});

test("a socket that another owner has is one line and status 1", async () => {
  const owner = await startOwner();
  const command = startCommand(["serve", model, "--name", "llm", "--socket", owner.socket]);
  const { code, stderr, stdout } = await command.ended;
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^cuda-ipc: Another owner has .*\[ERR_CUDA_IPC_OWNER_RUNNING\]\n$/);
});

test("a load that fails leaves no owner behind", async () => {
  const socket = newSocket(folder);
  const command = startCommand(["serve", path.join(folder, "none"), "--name", "llm", "--socket", socket]);
  const { code, stderr } = await command.ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^cuda-ipc: .*check the path\. \[ERR_CUDA_IPC_FILE\]\n$/);
  expect(existsSync(socket)).toBe(false);
});
