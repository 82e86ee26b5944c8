import path from "node:path";
import { describe, expect, test } from "vitest";
import { runCommand } from "../helpers/command.js";
import { fixtures, sharings, someTensors, startOwner, startWorker } from "../helpers/sharing.js";

describe.each(sharings)("verify, sharing %s", (sharing) => {
  test("computes the checksum that was published", async () => {
    const owner = await startOwner();
    const version = await owner.load("llm", path.join(fixtures, "llama-single"), { sharing });
    const text = await runCommand("verify", "llm", "--socket", owner.socket);
    expect(text).toMatchObject({ code: 0, stderr: "" });
    expect(text.stdout).toContain(`llm, version 1 (${sharing}): ${version.tensors} tensors`);
    expect(text.stdout).toContain(`checksum ${version.checksum}, as published`);
    const json = await runCommand("verify", "llm", "--socket", owner.socket, "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      set: "llm",
      version: 1,
      sharing,
      checksum: version.checksum,
    });
  });

  test("tells that the memory was changed", async () => {
    const owner = await startOwner();
    await owner.load("state", someTensors(), { sharing, writable: true });
    const worker = await startWorker();
    const key = await worker.call<number>("attach", "state", { socket: owner.socket, access: "readwrite" });
    await worker.call("write", key, "bytes", Buffer.alloc(300, 9));
    await worker.call("release", key);
    const { code, stdout, stderr } = await runCommand("verify", "state", "--socket", owner.socket);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^cuda-ipc: Version 1 of "state".*\[ERR_CUDA_IPC_CHECKSUM_MISMATCH\]\n$/);
  });
});

test("a set that is not there is one line and status 1", async () => {
  const owner = await startOwner();
  const { code, stderr } = await runCommand("verify", "llm", "--socket", owner.socket);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^cuda-ipc: .*\[ERR_CUDA_IPC_NO_SET\]\n$/);
});
