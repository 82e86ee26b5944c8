// What the README shows is what examples/ holds, and examples/ run. Its links and tests exist.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { ownerStatus } from "../../dist/lib/index.js";
import { newSocket, temporaryFolder } from "../helpers/temporary.js";

const root = path.join(__dirname, "../..");
const readme = readFileSync(path.join(root, "README.md"), "utf8");
const model = path.join(root, "test/fixtures/llama-single");
const folder = temporaryFolder();

/** The code after a mark: `<!-- examples/owner.mjs -->`. */
function codeAfter(mark: string): string {
  const found = new RegExp(`<!-- ${mark} -->\n\`\`\`\\w+\n([^]*?)\`\`\`\n`).exec(readme);
  if (found === null) throw new Error(`README.md has no code marked ${mark}`);
  return found[1]!;
}

const started: ChildProcess[] = [];

afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "close");
  }
});

/** Runs a program as a reader would, with `socket` as the place where owner and workers meet. */
function start(program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text) => {
      output[name] += text;
    });
  }
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, ...output }));
  return { child, output, ended };
}

async function startOwner(socket: string) {
  const owner = start("examples/owner.mjs", [model], { CUDA_IPC_SOCKET: socket });
  const died = owner.ended.then(({ stderr }) => {
    throw new Error(stderr);
  });
  died.catch(() => {}); // after it has served, its end is the test's business
  while (!owner.output.stdout.includes(socket)) {
    await Promise.race([once(owner.child.stdout!, "data"), died]);
  }
  return owner;
}

describe("the README", () => {
  test.each(["owner.mjs", "worker.mjs", "cluster.mjs"])("shows examples/%s", (name) => {
    expect(codeAfter(`examples/${name}`)).toBe(readFileSync(path.join(root, "examples", name), "utf8"));
  });

  test("links to files that exist", () => {
    const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map((match) => match[1]!);
    expect(links.length).toBeGreaterThan(20);
    expect(links.filter((link) => !existsSync(path.join(root, link)))).toEqual([]);
  });

  test("names scripts that exist", () => {
    const { scripts } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
    const named = [...readme.matchAll(/npm run ([\w:]+)/g)].map((match) => match[1]!);
    expect(named.length).toBeGreaterThan(2);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  test("names commands that exist, as cuda-ipc --help lists them", () => {
    const main = path.join(root, "dist/lib/cli/main.js");
    const help = spawnSync(process.execPath, [main, "--help"], { encoding: "utf8" }).stdout;
    const named = [...readme.matchAll(/^cuda-ipc ([\w-]+)/gm)].map((match) => match[1]!);
    const listed = [...help.matchAll(/^ {2}([\w-]+) .*[A-Z].*$/gm)].map((match) => match[1]!);
    expect(named.sort()).toEqual(listed.filter((name) => name !== "help").sort());
  });
});

test("owner.mjs and worker.mjs work together", async () => {
  const socket = newSocket(folder);
  const owner = await startOwner(socket);
  expect(owner.output.stdout).toMatch(/^30 tensors, \d+ bytes of device memory/);
  const worker = await start("examples/worker.mjs", [], { CUDA_IPC_SOCKET: socket }).ended;
  expect(worker).toMatchObject({ code: 0, stderr: "" });
  expect(worker.stdout).toMatch(/^lm_head\.weight BF16 \[ 512, 64 \] 0x[0-9a-f]+$/m);
  expect(worker.stdout.trimEnd().split("\n")).toHaveLength(30);
  owner.child.kill("SIGINT");
  expect(await owner.ended).toMatchObject({ code: 0, stderr: "" });
});

test("the TypeScript of the README compiles as strictly as can be, and works", async () => {
  const project = path.join(folder, "typescript");
  mkdirSync(path.join(project, "node_modules"), { recursive: true });
  symlinkSync(root, path.join(project, "node_modules/cuda-ipc"));
  writeFileSync(path.join(project, "worker.mts"), codeAfter("typescript"));
  const types = ["--types", "node", "--typeRoots", path.join(root, "node_modules/@types")];
  const strict = [
    "--module",
    "nodenext",
    "--target",
    "es2022",
    "--lib",
    "es2023,esnext.disposable",
    "--strict",
  ];
  const tsc = path.join(root, "node_modules/.bin/tsc");
  const compiled = spawnSync(tsc, [...strict, ...types, "worker.mts"], { cwd: project, encoding: "utf8" });
  expect({ status: compiled.status, stdout: compiled.stdout }).toEqual({ status: 0, stdout: "" });

  const socket = newSocket(folder);
  const owner = await startOwner(socket);
  const program = path.join(project, "worker.mjs");
  const worker = await start(program, [], { CUDA_IPC_SOCKET: socket }).ended;
  expect(worker).toMatchObject({ code: 0, stderr: "" });
  expect(worker.stdout.trimEnd().split("\n")).toHaveLength(30);
  const { sets } = await ownerStatus({ socket });
  expect(sets[0]!.versions[0]!.refCount).toBe(0);
  owner.child.kill("SIGTERM");
  expect((await owner.ended).code).toBe(0);
});

test("cluster.mjs serves from one copy, replaces a worker that dies, and closes", async () => {
  const socket = newSocket(folder);
  const port = await freePort();
  const { child, ended } = start("examples/cluster.mjs", [model], {
    CUDA_IPC_SOCKET: socket,
    PORT: String(port),
  });
  const holders = async () => {
    const { sets } = await ownerStatus({ socket });
    return sets.flatMap(({ versions }) => versions.flatMap((version) => version.holders));
  };
  const until = async (condition: (pids: number[]) => boolean): Promise<number[]> => {
    for (;;) {
      const pids = await holders().then(
        (found) => found.map(({ pid }) => pid),
        () => [],
      );
      if (condition(pids)) return pids;
      if (child.exitCode !== null) throw new Error((await ended).stderr);
    }
  };
  const first = await until((pids) => pids.length === 3);
  const victim = first[0]!;
  process.kill(victim, "SIGKILL");
  await until((pids) => pids.length === 3 && !pids.includes(victim));

  const answer = await fetch(`http://127.0.0.1:${port}/lm_head.weight`);
  expect(await answer.text()).toMatch(/^\d+ has lm_head\.weight, checksum [0-9a-f]{32}\n$/);
  expect((await fetch(`http://127.0.0.1:${port}/nothing`)).status).toBe(404);
  child.kill("SIGTERM");
  expect(await ended).toMatchObject({ code: 0, stderr: "" });
  expect(existsSync(socket)).toBe(false);
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
