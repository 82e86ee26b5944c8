import { expect, test } from "vitest";
import { ownerStatus } from "../../dist/lib/index.js";
import { runCommand, startCommand } from "../helpers/command.js";
import { queueFor, startLocker, startWritable } from "../helpers/locks.js";
import { folder, someTensors, startOwner, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

test("the tables name sets, versions, counts and holders", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors(1));
  const worker = await startWorker();
  const key = await worker.call<number>("attach", "llm", { socket: owner.socket });
  const second = await worker.call<number>("retain", key);
  await owner.load("llm", someTensors(2), { pinned: true, writable: true });

  const { code, stdout, stderr } = await runCommand("status", "--socket", owner.socket);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain(`Owner: pid ${process.pid}, cuda-ipc `);
  expect(stdout).toMatch(/^SET +VERSION +STATE +SHARING +SIZE +TENSORS +REFS +LOADED +SOURCE$/m);
  expect(stdout).toMatch(/^llm +1 +superseded +\w+ +2\.10 MB +2 +2 +\d+ s +memory$/m);
  expect(stdout).toMatch(/^llm +2 +current, pinned, writable +\w+ +2\.10 MB +2 +0 +\d+ s +memory$/m);
  expect(stdout).toMatch(/^SET +VERSION +PID +COMMAND +UID +LEASES +SINCE$/m);
  const { pid } = worker.process;
  expect(stdout).toMatch(new RegExp(`^llm +1 +${pid} +node +${process.getuid!()} +2 +\\d+ s$`, "m"));
  await worker.call("release", key);
  await worker.call("release", second);
  owner.current("llm")!.unpin();
});

test("locks that are held are listed, with their holders and how many wait", async () => {
  const owner = await startWritable();
  const [a, b] = [await startLocker(owner), await startLocker(owner)];
  expect((await ownerStatus({ socket: owner.socket })).locks).toEqual([]);
  expect((await runCommand("status", "--socket", owner.socket)).stdout).not.toMatch(/LOCK/);
  await a.call("lock", "held", "counter");
  const { granted } = await queueFor(owner, b, "next", 1);

  const { locks } = await ownerStatus({ socket: owner.socket });
  expect(locks).toEqual(owner.locks());
  expect(locks).toMatchObject([{ set: "llm", name: "counter", pid: a.pid, command: "node", waiting: 1 }]);
  const { stdout } = await runCommand("status", "--socket", owner.socket);
  expect(stdout).toMatch(/^SET +LOCK +PID +COMMAND +UID +SINCE +WAITING$/m);
  expect(stdout).toMatch(new RegExp(`^llm +counter +${a.pid} +node +${process.getuid!()} +\\d+ s +1$`, "m"));
  await a.call("unlock", "held");
  await granted;
});

test("--json prints what ownerStatus returns", async () => {
  const owner = await startOwner();
  const version = await owner.load("llm", someTensors());
  const { code, stdout } = await runCommand("status", "--socket", owner.socket, "--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    ...{ socket: owner.socket, id: owner.id, pid: process.pid, recovering: false },
    driver: process.env.CUDA_IPC_DRIVER,
    sets: [
      { name: "llm", versions: [{ id: version.id, checksum: version.checksum, refCount: 0, holders: [] }] },
    ],
    locks: [],
  });
});

test("an owner on another driver can be asked, too", async () => {
  const owner = await startOwner();
  const other = process.env.CUDA_IPC_DRIVER === "host" ? "libcuda" : "host";
  const command = startCommand(["status", "--socket", owner.socket], { env: { CUDA_IPC_DRIVER: other } });
  const { code, stdout } = await command.ended;
  expect(code).toBe(0);
  expect(stdout).toContain("It holds nothing.");
});

test("names cannot steer the terminal", async () => {
  const owner = await startOwner();
  await owner.load("\u001b[31mred\u202e", someTensors());
  const { stdout } = await runCommand("status", "--socket", owner.socket);
  expect(stdout).toContain("\\u{1b}[31mred\\u{202e}");
  expect(stdout).not.toContain("\u001b");
});

test("nobody there is one line and status 1", async () => {
  const { code, stdout, stderr } = await runCommand("status", "--socket", newSocket(folder));
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^cuda-ipc: No owner listens at .*\[ERR_CUDA_IPC_NO_OWNER\]\n$/);
});

test("an owner that does not answer is given up", async () => {
  const socket = newSocket(folder);
  const serving = startCommand(["serve", "test/fixtures/llama-single", "--name", "llm", "--socket", socket]);
  await serving.until("Serving");
  serving.kill("SIGSTOP");
  const { code, stderr } = await runCommand("status", "--socket", socket, "--timeout", "50");
  expect(code).toBe(1);
  expect(stderr).toMatch(/^cuda-ipc: .* within 50 ms.*\[ERR_CUDA_IPC_TIMEOUT\]\n$/);
  serving.kill("SIGKILL");
  await serving.ended;
});
