// The system gives no thread for a call: it is refused with a code, and what it was lent goes back.
import { execFileSync } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../helpers/temporary.js";

const root = path.join(__dirname, "../..");
const folder = temporaryFolder();
const library = path.join(folder, "no-threads.so");
execFileSync(process.env.CXX || "g++", [
  ...["-std=c++17", "-shared", "-fPIC", "-o", library],
  path.join(root, "test/native/no_threads.cc"),
  "-ldl",
]);

test.each([
  ["a checksum of sources", "native.checksumSources({ ...from(view), bytes: view.length })"],
  ["a load", "native.load({ ...from(view), device: 0, base: 0n })"],
  ["a copy", "native.memcpyHtoD(0, 0n, view)"],
])("%s", (_, call) => {
  const script = `
    const { rmSync, writeFileSync } = require("node:fs");
    const { native } = require("./dist/lib/native.js");
    const none = process.env.CUDA_IPC_TEST_NO_THREADS;
    const from = (view) => ({
      sources: [view],
      runs: [{ source: 0, offset: 0, bytes: view.length, target: 0 }],
    });
    let back = false;
    const lent = new FinalizationRegistry(() => {
      back = true;
    });
    const refused = () => {
      const view = new Uint8Array(1 << 20);
      lent.register(view);
      return ${call}.then(() => undefined, ({ code }) => code);
    };
    (async () => {
      writeFileSync(none, "");
      const code = await refused();
      rmSync(none);
      for (let turns = 0; turns < 100 && !back; turns++) {
        gc();
        await new Promise(setImmediate);
      }
      return [code, back];
    })().then((value) => console.log(JSON.stringify(value)));`;
  const output = execFileSync(process.execPath, ["--expose-gc", "-e", script], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, LD_PRELOAD: library, CUDA_IPC_TEST_NO_THREADS: path.join(folder, "none") },
    timeout: 20_000,
  });
  expect(JSON.parse(output)).toEqual(["ERR_CUDA_IPC_SYSTEM", true]);
});
