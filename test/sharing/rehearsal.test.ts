// What a process does while it waits for CUDA, so that its first attach finds compiled code.
import { execFile, execFileSync } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { someTensors, startOwner } from "../helpers/sharing.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();
const root = path.join(__dirname, "../..");

/** What an async program, in a process of its own, returns. */
function run<T>(program: string, env: NodeJS.ProcessEnv = {}): T {
  const script = `
    const { readdirSync } = require("node:fs");
    const { native } = require("./dist/lib/native.js");
    const turn = () => new Promise(setImmediate);
    const rehearsed = () => Object.keys(require.cache).some((file) => file.endsWith("/rehearsal.js"));
    const begun = async () => {
      while (!rehearsed()) await turn();
    };
    (async () => { ${program} })().then((value) => console.log(JSON.stringify(value)));`;
  const output = execFileSync(process.execPath, ["-e", script], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, ...env },
    timeout: 20_000,
  });
  return JSON.parse(output) as T;
}

test.each([
  ["attaching", "await rehearse();"],
  ["launching", `await require("./dist/lib/cuda/rehearsal.js").rehearseLaunch();`],
  [
    "serving",
    `await require("./dist/lib/sharing/owner-rehearsal.js").rehearseServing(new AbortController().signal);`,
  ],
])("a rehearsal of %s leaves nothing behind, and does not touch the driver", (_, rehearsal) => {
  expect(
    run(`
      const { rehearse } = require("./dist/lib/sharing/rehearsal.js");
      // The thread that waits on sockets stays, with what it needs.
      const stay = setInterval(() => {}, 1000);
      await rehearse();
      const fds = readdirSync("/proc/self/fd").length;
      ${rehearsal}
      clearInterval(stay);
      // What a connection that ended had is closed when its end has been told.
      while (readdirSync("/proc/self/fd").length > fds) await turn();
      return {
        driver: native.driverIsUp(),
        mappings: native.mappingStatistics(),
        resources: process.getActiveResourcesInfo().filter((name) => name === "Timeout"),
      };`),
  ).toEqual({ driver: false, mappings: { mappings: 0, references: 0 }, resources: [] });
});

test("in that time all is loaded that a first attach without it leaves to later", () => {
  expect(
    run(`
      const stay = setInterval(() => {}, 1000);
      await require("./dist/lib/sharing/attach.js").rehearsed;
      clearInterval(stay);
      const loaded = new Set(Object.keys(require.cache));
      for (const load of Object.values(require("./dist/lib/sharing/later.js").later)) load();
      return Object.keys(require.cache).filter((file) => !loaded.has(file));`),
  ).toEqual([]);
});

test("it leaves no batch of what V8 compiles to be completed by an attach", async () => {
  const owner = await startOwner();
  await owner.load("llm", someTensors());
  const program = `
    const { writeSync } = require("node:fs");
    const { attach, cudaMemGetInfo } = require("./dist/lib/index.js");
    (async () => {
      const stay = setInterval(() => {}, 1000);
      await cudaMemGetInfo({ device: 0 });
      await require("./dist/lib/sharing/attach.js").rehearsed;
      clearInterval(stay);
      writeSync(1, "attaching\\n");
      const weights = await attach("llm", { socket: process.argv[1] });
      writeSync(1, "attached\\n");
      await weights.release();
    })();`;
  const flag = "--trace-baseline-batch-compilation";
  const { stdout } = await promisify(execFile)(process.execPath, [flag, "-e", program, owner.socket], {
    cwd: root,
    maxBuffer: 1 << 24,
    timeout: 20_000,
  });
  const [before, during] = stdout.split("attaching\n");
  const compiling = "Compiling current batch";
  expect(during!.slice(0, during!.indexOf("attached"))).not.toContain(compiling);
  // Whatever had come together by then: the last that was put to it is a batch by itself.
  const lines = before!.split("\n");
  const last = lines[lines.findLastIndex((line) => line.includes(compiling)) - 1];
  const [, size, limit] = /size (\d+) .*\/(\d+)\)/.exec(last!)!;
  expect(Number(size)).toBeGreaterThanOrEqual(Number(limit));
});

test("both may go on beside each other, and each to its end", () => {
  expect(
    run(`
      const { OwnerClient } = require("./dist/lib/sharing/owner-client.js");
      const { attach } = OwnerClient.prototype;
      const outcomes = [];
      OwnerClient.prototype.attach = function (...args) {
        const attaching = attach.apply(this, args);
        attaching.then(() => outcomes.push("attached"), (error) => outcomes.push(error.message));
        return attaching;
      };
      const { rehearse } = require("./dist/lib/sharing/rehearsal.js");
      const { rehearseServing } = require("./dist/lib/sharing/owner-rehearsal.js");
      const stay = setInterval(() => {}, 1000);
      await Promise.all([rehearse(), rehearseServing(new AbortController().signal)]);
      clearInterval(stay);
      return [outcomes.length, ...new Set(outcomes)];`),
  ).toEqual([2 * (32 + 12), "attached"]);
});

test("it takes place once there is a turn for it, unless somebody has attached by then", () => {
  expect(run(`const { attach } = require("./dist/lib/index.js"); await begun(); return rehearsed();`)).toBe(
    true,
  );
  expect(
    run(`
      await native.devices();
      const { attach } = require("./dist/lib/index.js");
      await attach("set", { socket: "/nowhere", timeout: 1000 }).catch(() => {});
      await require("./dist/lib/sharing/attach.js").rehearsed;
      return rehearsed();`),
  ).toBe(false);
});

test("who has attached and waits for CUDA finds compiled what comes next, and no more is done than that", () => {
  const [attaches, launches] = run<[number, boolean]>(
    `
    const { attachSteps } = require("./dist/lib/sharing/attach-steps.js");
    let attaches = 0;
    attachSteps.tell = (step) => {
      if (step === "mapped") attaches++;
    };
    // An owner that says nothing.
    const socket = require("node:path").join(process.env.TMPDIR, "silent.sock");
    const connections = [];
    const silent = require("node:net").createServer((one) => connections.push(one)).listen(socket);
    await require("node:events").once(silent, "listening");
    const { attach } = require("./dist/lib/index.js");
    const enough = new AbortController();
    const attaching = attach("set", { socket, signal: enough.signal }).catch(() => {});
    await require("./dist/lib/sharing/attach.js").rehearsed;
    enough.abort();
    await attaching;
    silent.close();
    for (const one of connections) one.destroy();
    const launches = Object.keys(require.cache).some((file) => file.endsWith("cuda/rehearsal.js"));
    return [attaches, launches];`,
    { TMPDIR: folder },
  );
  expect({ attaches, launches }).toEqual({ attaches: 6, launches: true });
});

// As one that waits for its CUDA does.
const waiting = `
  const { port1, port2 } = new MessageChannel();
  port1.on("message", () => {});
  setTimeout(() => {}, 1e6).unref();`;

test.each(["attach", "cudaMemGetInfo"])(
  "it takes place in a program that has asked for %s, waits for one event and has no other",
  (name) => {
    expect(
      run(`
        require("./dist/lib/index.js").${name};
        ${waiting}
        const { attachSteps } = require("./dist/lib/sharing/attach-steps.js");
        await new Promise((resolve) => {
          attachSteps.tell = resolve;
        });
        port1.close();
        return rehearsed();`),
    ).toBe(true);
  },
);

test.each(["attach", "cudaMemGetInfo"])("no program that has asked for %s stays for it", (name) => {
  const rehearsals = run<number>(`
    require("./dist/lib/index.js").${name};
    const { attachSteps } = require("./dist/lib/sharing/attach-steps.js");
    let attaches = 0;
    attachSteps.tell = (step) => {
      if (step === "asked") attaches++;
    };
    // The program's own end, after the first.
    const stay = setInterval(() => attaches > 0 && clearInterval(stay), 0);
    return new Promise(() => process.on("exit", () => console.log(attaches)));`);
  // Two attaches and their releases, of each.
  expect(rehearsals).toBeLessThan(16);
});

test.each([
  ["what it takes", ["rehearsal", "later"], `await require("./dist/lib/sharing/attach.js").rehearsed;`],
  // Behind what it would be loaded with.
  ["attaching", ["attach"], "await new Promise((resolve) => setTimeout(resolve, 1)); await turn();"],
])("a program lives on where %s cannot be loaded", (_, names, then) => {
  expect(
    run(`
      let asked = 0;
      const refused = {
        get exports() {
          asked++;
          throw new Error("not there");
        },
      };
      for (const name of ${JSON.stringify(names)}) {
        require.cache[require.resolve("./dist/lib/sharing/" + name + ".js")] = refused;
      }
      const stay = setInterval(() => {}, 1000);
      require("./dist/lib/index.js").cudaMemGetInfo;
      ${then}
      clearInterval(stay);
      return asked > 0;`),
  ).toBe(true);
});

test.each([
  ["of the raw layer has been asked for, but not of attaching", "entry.cudaMemGetInfo;", true],
  ["of the raw layer and an owner's have been asked for", "entry.cudaMemGetInfo; entry.Owner;", false],
  ["that needs no CUDA has been asked for", "entry.earlyStart; entry.handleFromBase64;", false],
])("where a name %s", (_, asking, expected) => {
  expect(
    run(`
      const entry = require("./dist/lib/index.js");
      ${asking}
      const loaded = () => Object.keys(require.cache).some((file) => file.endsWith("sharing/attach.js"));
      // Behind what it would be done with.
      await new Promise((resolve) => setTimeout(resolve, 1));
      await turn();
      if (loaded()) await begun();
      return loaded();`),
  ).toBe(expected);
});

test("where modules are a test runner's, which takes them away, nothing is loaded behind the program's back", () => {
  expect(
    run(`
      const packed = require.resolve("./dist/lib/packed.js");
      const real = require(packed);
      require.cache[packed].exports = { ...real, isNodes: false };
      const loaded = (name) => Object.keys(require.cache).some((file) => file.endsWith(name));
      const entry = require("./dist/lib/index.js");
      entry.cudaMemGetInfo;
      // Behind what it would be done with.
      await new Promise((resolve) => setTimeout(resolve, 1));
      const foreseen = loaded("sharing/attach.js");
      entry.attach;
      await require("./dist/lib/sharing/attach.js").rehearsed;
      await turn();
      return [foreseen, rehearsed()];`),
  ).toEqual([false, false]);
});

// The device's first mapping fails, whosever it is.
const firstFails = { CUDA_IPC_DRIVER: "host", CUDA_IPC_HOST_FAULTS: "cuMemMap:1=2" };
const mapOne = `
  const mapOne = () =>
    native.createSlab({ id: Buffer.alloc(16), device: 0, bytes: 1, sharing: "vmm" }).then(
      (slab) => slab.close().then(() => "mapped"),
      ({ code }) => code,
    );`;

test.each([
  ["comes up in a process that may attach is the rehearsal's", `entry.attach; await begun();`, "mapped"],
  ["comes up in one that does not is its own", "", "ERR_CUDA_IPC_OUT_OF_MEMORY"],
])("the first mapping where a context %s", (_, importing, outcome) => {
  expect(
    run(
      `${mapOne}
      const entry = require("./dist/lib/index.js");
      ${importing}
      await native.initializeDevice(0);
      return [await mapOne(), native.mappingStatistics()];`,
      firstFails,
    ),
  ).toEqual([outcome, { mappings: 0, references: 0 }]);
});

test("where a context comes up for a mapping nothing is rehearsed", () => {
  expect(
    run(
      `native.rehearseMappings();
      const [{ uuid }] = await native.devices();
      const fd = native.createMemfd("no device memory", 4096);
      const source = { id: Buffer.alloc(16), uuid, bytes: 4096, access: "read", fd };
      const code = await native.openSlab(source).catch(({ code }) => code);
      fd.close();
      ${mapOne}
      return [code === undefined, await mapOne()];`,
      firstFails,
    ),
  ).toEqual([false, "ERR_CUDA_IPC_OUT_OF_MEMORY"]);
});
