// CUDA is begun while a process is still starting: by the program that is meant and by no other, and a process that ends
// meanwhile ends as it would without.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { earlyStart } from "../../dist/lib/index.js";
import { runCommand } from "../helpers/command.js";
import { compileRecordingDriver, startRecorded } from "../helpers/recording-driver.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();
const driver = compileRecordingDriver(folder);
const python = execFileSync("python3", ["-c", 'import os; print(os.readlink("/proc/self/exe"))'], {
  encoding: "utf8",
}).trim();

const { CUDA_IPC_DRIVER: _, LD_PRELOAD: __, ...inherited } = process.env;
const base = { ...inherited, NODE_OPTIONS: "", CUDA_IPC_LIBCUDA: driver };
const environment = (device: number, more: NodeJS.ProcessEnv = {}) => ({
  ...base,
  ...earlyStart({ device }),
  ...more,
});

const untilInputEnds = "process.stdin.resume();";
const sayEnvironment = `console.log(JSON.stringify([
  process.env.LD_PRELOAD ?? null,
  Object.keys(process.env).filter((name) => name.startsWith("CUDA_IPC_EARLY")),
]));`;
const node = (...script: string[]) => [process.execPath, "-e", script.join("\n")];
const asIfNothing = "[null,[]]\n";

test("the context of the device that was asked for is retained, once", async () => {
  const child = startRecorded(node(sayEnvironment, untilInputEnds), environment(3));
  await child.until("cuDevicePrimaryCtxRetain", ">");
  expect(await child.finish()).toEqual({ code: 0, signal: null, stdout: asIfNothing, stderr: "" });
  const calls = child.calls.filter(({ name, direction }) => name.startsWith("cu") && direction === "<");
  expect(calls.map(({ name, argument }) => [name, argument])).toEqual([
    ["cuInit", 0],
    ["cuDeviceGet", 3],
    ["cuDevicePrimaryCtxRetain", 3],
  ]);
});

test("no signal is delivered to its thread", async () => {
  const child = startRecorded(node(untilInputEnds), environment(0));
  expect((await child.until("blocked", "<")).argument).toBe(2);
  await child.until("cuDevicePrimaryCtxRetain", ">");
  expect((await child.finish()).code).toBe(0);
});

test("its children do not begin it again", async () => {
  const script = `require("node:child_process").execFileSync(process.execPath, ["-e", "0"], { stdio: ["ignore", 1, 2, 3] });`;
  const child = startRecorded(node(script, untilInputEnds), environment(0));
  await child.until("cuDevicePrimaryCtxRetain", ">");
  expect(await child.finish()).toMatchObject({ code: 0, stderr: "" });
  expect(new Set(child.calls.map(({ pid }) => pid))).toEqual(new Set([child.process.pid]));
});

test("what else is preloaded stays, and is handed on", async () => {
  const other = path.join(folder, "other.so");
  execFileSync(process.env.CXX || "g++", ["-shared", "-fPIC", "-xc++", "/dev/null", "-o", other]);
  for (const list of [
    `${other}:${earlyStart().LD_PRELOAD}`,
    `${earlyStart().LD_PRELOAD} ${other}`,
    `:${other}: ${earlyStart().LD_PRELOAD}:`,
  ]) {
    const child = startRecorded(node(sayEnvironment, untilInputEnds), environment(0, { LD_PRELOAD: list }));
    await child.until("cuDevicePrimaryCtxRetain", ">");
    expect(await child.finish()).toMatchObject({ code: 0, stdout: `${JSON.stringify([other, []])}\n` });
  }
});

test("earlyStart() keeps what this process preloads in front, and names its own library once", () => {
  const own = earlyStart().LD_PRELOAD!;
  const before = process.env.LD_PRELOAD;
  try {
    process.env.LD_PRELOAD = `/nowhere/a.so ${own}:/nowhere/b.so`;
    expect(earlyStart().LD_PRELOAD).toBe(`/nowhere/a.so:/nowhere/b.so:${own}`);
  } finally {
    if (before === undefined) delete process.env.LD_PRELOAD;
    else process.env.LD_PRELOAD = before;
  }
});

test("another program hands it on untouched", async () => {
  const env = environment(2);
  const shell = 'printf "%s %s\\n" "$LD_PRELOAD" "$CUDA_IPC_EARLY_START"; "$0" "$@"; exit $?';
  const child = startRecorded(["sh", "-c", shell, ...node(sayEnvironment, untilInputEnds)], env);
  const { pid } = await child.until("cuDevicePrimaryCtxRetain", ">");
  expect(pid).not.toBe(child.process.pid);
  expect(await child.finish()).toMatchObject({
    code: 0,
    stdout: `${earlyStart().LD_PRELOAD} 2\n${asIfNothing}`,
    stderr: "",
  });
  expect(child.calls.filter(({ name, direction }) => name === "load" && direction === "<")).toHaveLength(1);
});

test.each(["npm", "npm-cli.js", "npx-cli.js", "yarn.js", "pnpm.cjs"])(
  "so does %s, which is a script of this Node",
  async (name) => {
    const manager = path.join(folder, name);
    writeFileSync(
      manager,
      `const [program, ...args] = process.argv.slice(2);
       require("node:child_process").spawn(program, args, { stdio: [0, 1, 2, 3] });`,
    );
    const command = [process.execPath, manager, ...node(untilInputEnds)];
    const child = startRecorded(command, environment(0));
    const { pid } = await child.until("cuDevicePrimaryCtxRetain", ">");
    expect(pid).not.toBe(child.process.pid);
    expect((await child.finish()).code).toBe(0);
    expect(new Set(child.calls.map((call) => call.pid))).toEqual(new Set([pid]));
  },
);

test("with another driver than libcuda nothing is begun, and the variables are taken away", async () => {
  for (const name of ["host", "another"]) {
    const child = startRecorded(node(sayEnvironment), environment(0, { CUDA_IPC_DRIVER: name }));
    expect(await child.finish()).toEqual({ code: 0, signal: null, stdout: asIfNothing, stderr: "" });
    expect(child.calls).toEqual([]);
  }
  for (const name of ["", "libcuda"]) {
    const child = startRecorded(node(untilInputEnds), environment(0, { CUDA_IPC_DRIVER: name }));
    await child.until("cuDevicePrimaryCtxRetain", ">");
    expect((await child.finish()).code).toBe(0);
  }
});

test("what is no ordinal begins nothing", async () => {
  for (const device of ["", "-1", "1x", "4294967296"]) {
    const child = startRecorded(node(sayEnvironment), environment(0, { CUDA_IPC_EARLY_START: device }));
    expect(await child.finish()).toMatchObject({ code: 0, stdout: asIfNothing });
    expect(child.calls).toEqual([]);
  }
});

test("without a driver the process is as it would be", async () => {
  const env = environment(0, { CUDA_IPC_LIBCUDA: path.join(folder, "nowhere.so") });
  const child = startRecorded(node(sayEnvironment), env);
  expect(await child.finish()).toEqual({ code: 0, signal: null, stdout: asIfNothing, stderr: "" });
});

const sayRunning = "console.log('running');";
/** Says what it is told. Node cannot: while a library is being loaded it waits for that when it starts. */
const cat = execFileSync("sh", ["-c", "realpath $(command -v cat)"], { encoding: "utf8" }).trim();

test.each([
  ["load", [cat]],
  ["cuInit", node(sayRunning, untilInputEnds)],
  ["cuDeviceGet", node(sayRunning, untilInputEnds)],
  ["cuDevicePrimaryCtxRetain", node(sayRunning, untilInputEnds)],
] as const)("a process that ends during %s lets the driver come to its end first", async (stop, command) => {
  const meant = { CUDA_IPC_EARLY_START_FOR: command[0] };
  const child = startRecorded(command, environment(0, { RECORDING_STOP: stop, ...meant }));
  await child.untilStopped();
  expect(await child.finish()).toEqual({ code: 0, signal: null, stdout: "running\n", stderr: "" });
  const calls = child.calls.map(({ name, direction }) => `${name} ${direction}`);
  const begun = calls.filter((call) => /^(load|cu\w+) <$/.test(call));
  const done = calls.filter((call) => /^(load|cu\w+) >$/.test(call));
  expect(begun).toContain(`${stop} <`);
  expect(done).toEqual(begun.map((call) => call.replace("<", ">")));
  expect(calls.at(-1)).toBe("down <");
  // Nothing more is begun for a process that is known to be ending.
  if (stop !== "load") expect(begun.at(-1)).toBe(`${stop} <`);
});

test("process.exit() and a signal's default end it as ever", async () => {
  const env = environment(0, { RECORDING_STOP: "cuInit" });
  const leave = "process.stdin.on('end', () => process.exit(7)).resume()";
  const leaving = startRecorded(node(sayRunning, leave), env);
  await leaving.untilStopped();
  expect(await leaving.finish()).toMatchObject({ code: 7, signal: null, stderr: "" });
  const killed = startRecorded(node(sayRunning, untilInputEnds), env);
  await killed.untilStopped();
  killed.process.kill("SIGTERM");
  expect(await killed.ended).toMatchObject({ code: null, signal: "SIGTERM", stderr: "" });
});

test("a native fork() in that time has no thread to wait for", async () => {
  const script = `
import os, sys, time
print(sys.stdin.readline().strip(), flush=True)
sys.stdin.read()
before = time.monotonic()
child = os.fork()
if child == 0: sys.exit(5)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), time.monotonic() - before < 8)
`;
  const env = environment(0, { RECORDING_STOP: "cuInit", CUDA_IPC_EARLY_START_FOR: python });
  // Newer ones warn of a fork() beside threads.
  const child = startRecorded([python, "-W", "ignore", "-c", script], env);
  await child.untilStopped();
  expect(await child.finish()).toMatchObject({ code: 0, stdout: "running\n5 True\n", stderr: "" });
});

test("the driver's files do not become the standard streams of a process that has none", async () => {
  const shell = 'exec "$0" "$@" <&- 2>&-';
  const child = startRecorded(["sh", "-c", shell, ...node("setInterval(() => {}, 1e6)")], environment(0));
  expect((await child.until("descriptor", "<")).argument).toBeGreaterThan(2);
  await child.until("cuDevicePrimaryCtxRetain", ">");
});

test("the command prints the same variables", async () => {
  const { code, stdout, stderr } = await runCommand("early-start", "--device", "5");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = Object.entries(earlyStart({ device: 5 })).map(([name, value]) => `${name}=${value}\n`);
  expect(stdout).toBe(lines.join(""));
});

test("what is no device is refused", () => {
  for (const device of [-1, 1.5, "0", null]) {
    expect(() => earlyStart({ device: device as number })).toThrow(
      expect.objectContaining({ code: "ERR_CUDA_IPC_INVALID_ARGUMENT" }),
    );
  }
});

test.each([
  ["a folder that LD_PRELOAD cannot name", "with space", true, "Install the package in another folder"],
  ["no library", "without", false, "npm rebuild cuda-ipc"],
])("%s: a warning, and nothing to pass on", (_, name, built, says) => {
  const root = path.join(__dirname, "../..");
  const copy = path.join(folder, name);
  for (const file of ["cuda/early-start.js", "cuda/check.js", "errors.js"]) {
    cpSync(path.join(root, "dist/lib", file), path.join(copy, "dist/lib", file));
  }
  mkdirSync(path.join(copy, "build/Release"), { recursive: true });
  if (built) writeFileSync(path.join(copy, "build/Release/cuda_ipc_early.so"), "");
  const script = `process.on("warning", ({ name, code, message }) => console.log([name, code, message].join(" ")));
    console.log(require("./dist/lib/cuda/early-start.js").earlyStart());`;
  const env = { ...base, NODE_NO_WARNINGS: "1" };
  const output = execFileSync(process.execPath, ["-e", script], { cwd: copy, env, encoding: "utf8" });
  expect(output).toMatch(/^\{\}\nCudaIpcWarning CUDA_IPC_NO_EARLY_START CUDA is not begun early: /);
  expect(output).toContain(says);
});
