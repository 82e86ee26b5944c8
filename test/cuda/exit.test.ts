// A process, and a worker thread, may end at any stage of its life: no crash, no hang, no memory left behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { expect, test } from "vitest";
import { expectMemoryBack, freeMemory } from "../helpers/memory.js";

const script = path.join(__dirname, "../children/exit.cjs");

const stages: [stage: string, code: number][] = [
  ["before anything", 0],
  ["after asking for the version", 0],
  ["after a context", 0],
  ["with memory allocated", 0],
  ["with objects alive", 0],
  ["with objects disposed", 0],
  ["with the first call pending", 0],
  ["with copies pending", 0],
  ["in process.exit() with copies pending", 0],
  ["by an uncaught exception with copies pending", 1],
  ["in worker_threads", 0],
  ["after terminating workers", 0],
  ["in process.exit() with workers at work", 0],
];

test.each(stages)("ends %s with status %i", async (stage, expected) => {
  const before = await freeMemory();
  const child = spawn(process.execPath, [script, stage], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [code, signal] = await once(child, "close");
  expect({ code, signal, stderr: expected === 0 ? stderr : "" }).toEqual({
    code: expected,
    signal: null,
    stderr: "",
  });
  if (expected !== 0) expect(stderr).toContain("uncaught, on purpose");
  await expectMemoryBack(before);
});
