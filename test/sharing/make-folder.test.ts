import { mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { makeFolder } from "../../dist/lib/sharing/make-folder.js";
import { runCommand } from "../helpers/command.js";
import { temporaryFolder } from "../helpers/temporary.js";

const root = temporaryFolder();

test("makes what is missing, as wide as asked for, and leaves what is there", async () => {
  const there = path.join(root, "there");
  mkdirSync(there, { mode: 0o711 });
  await makeFolder(path.join(there, "a", "b", "c"), 0o700);
  for (const made of ["a", "a/b", "a/b/c"]) expect(statSync(path.join(there, made)).mode & 0o777).toBe(0o700);
  await makeFolder(path.join(there, "a", "b"), 0o755);
  await makeFolder("/", 0o700);
  expect(statSync(path.join(there, "a/b")).mode & 0o777).toBe(0o700);
  expect(statSync(there).mode & 0o777).toBe(0o711);
});

test("many at once", async () => {
  const folders = Array.from({ length: 20 }, (_, i) => path.join(root, "many", "deep", String(i % 4), "x"));
  await Promise.all(folders.map((folder) => makeFolder(folder, 0o700)));
  for (const folder of folders) expect(statSync(folder).isDirectory()).toBe(true);
});

test("says what cannot be made, and what to do", async () => {
  const file = path.join(root, "file");
  writeFileSync(file, "");
  const link = path.join(root, "link");
  symlinkSync(path.join(root, "nowhere"), link);
  for (const folder of ["/proc/self/x/y", "/proc/x", file, path.join(file, "below"), link]) {
    await expect(makeFolder(folder, 0o700)).rejects.toMatchObject({
      code: "ERR_CUDA_IPC_SYSTEM",
      message: expect.stringMatching(/cannot be made: E[A-Z]+: .*\. Choose another folder for the socket\.$/),
      details: { folder },
    });
  }
});

test.each(["/proc/self/x/y.sock", "/proc/x.sock"])(
  "an owner on %s is one line and status 1",
  async (socket) => {
    const { code, stdout, stderr } = await runCommand("serve", "model", "--name", "llm", "--socket", socket);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^cuda-ipc: .*Choose another folder for the socket.*\[ERR_CUDA_IPC_(SYSTEM|PERMISSION)\]\n$/,
    );
  },
);
