import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cudaFree, cudaMalloc } from "../../dist/lib/index.js";
import { temporaryFolder } from "../helpers/temporary.js";

const main = path.join(__dirname, "../../dist/examples/demo/main.js");
const fixture = path.join(__dirname, "../fixtures/llama-single/model.safetensors");
const folder = temporaryFolder();

interface Run {
  code: number | null;
  text: string;
  errors: string;
  // biome-ignore lint/suspicious/noExplicitAny: the fields are what is tested
  json: any;
}

async function runDemo(...args: string[]): Promise<Run> {
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, TMPDIR: folder, NODE_OPTIONS: "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  let errors = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  const [code] = await once(child, "close");
  const last = text.trimEnd().split("\n").at(-1)!;
  return { code, text, errors, json: last.startsWith("{") ? JSON.parse(last) : undefined };
}

const driver = process.env.CUDA_IPC_DRIVER || "host";

/** Held by this process on the device, as somebody else may. */
let held: bigint;
beforeAll(async () => {
  held = await cudaMalloc(1 << 20);
});
afterAll(() => cudaFree(held));

describe.each(["vmm", "ipc"])("the demo, sharing %s", (sharing) => {
  test("serves through a kill with one copy of the weights", async () => {
    const args = ["--json", "--driver", driver, "--sharing", sharing, "--requests", "60"];
    const { code, text, errors, json } = await runDemo(...args);
    expect({ code, errors }, text).toEqual({ code: 0, errors: "" });
    expect(json).toMatchObject({
      driver,
      sharing,
      workers: 3,
      requests: 60,
      wrongAnswers: 0,
      answered: 60,
      refCount: { attached: 3, afterKill: 2, afterRestart: 3, afterClose: 0 },
      weightsChecksumEqualInAllWorkers: true,
    });
    expect(json.modelBytes).toBeGreaterThanOrEqual(64 << 20);
    expect(json.inFlightAtKill).toBeGreaterThan(0);
    expect(json.counter).toBeGreaterThanOrEqual(json.answered);
    expect(json.counter).toBeLessThanOrEqual(json.answered + json.inFlightAtKill);
    expect(json.reattachMs).toBeGreaterThan(0);
    const { beforeBytes, withWorkersBytes, afterCloseBytes } = json.deviceMemory;
    const added = withWorkersBytes - beforeBytes;
    expect(added).toBeGreaterThanOrEqual(json.modelBytes);
    if (driver === "host") {
      expect(added, "one copy, not one for each worker").toBeLessThan(2 * json.modelBytes);
      expect([beforeBytes, afterCloseBytes], "nobody else's are in its figures").toEqual([0, 0]);
    }
    expect(text).toContain(driver === "host" ? "NO GPU IS USED" : "on a GPU");
    expect(Object.keys(json)).toEqual([
      "driver",
      "sharing",
      "modelBytes",
      "workers",
      "requests",
      "wrongAnswers",
      "counter",
      "answered",
      "inFlightAtKill",
      "refCount",
      "reattachMs",
      "weightsChecksumEqualInAllWorkers",
      "deviceMemory",
    ]);
  });
});

test("the demo serves a model that it is given, with one worker", async () => {
  const args = ["--json", "--driver", driver, "--model", fixture, "--workers", "1", "--requests", "24"];
  const { code, text, errors, json } = await runDemo(...args);
  expect({ code, errors }, text).toEqual({ code: 0, errors: "" });
  expect(json).toMatchObject({
    workers: 1,
    wrongAnswers: 0,
    answered: 24,
    refCount: { attached: 1, afterKill: 0, afterRestart: 1, afterClose: 0 },
  });
});

test("the demo fails for a model without a matrix, and leaves nothing behind", async () => {
  const { code, errors, json } = await runDemo("--json", "--driver", driver, "--model", os.devNull);
  expect(code).toBe(1);
  expect(errors).toContain("ERR_CUDA_IPC");
  expect(json).toBeUndefined();
  expect(readdirSync(folder)).toEqual([]);
});
