// The package as others import it: one copy of the library behind both kinds of import, and types for both.
import { spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "./helpers/temporary.js";

const root = path.join(__dirname, "..");
const folder = temporaryFolder();
mkdirSync(path.join(folder, "node_modules", "@types"), { recursive: true });
symlinkSync(root, path.join(folder, "node_modules", "cuda-ipc"));
symlinkSync(path.join(root, "node_modules/@types/node"), path.join(folder, "node_modules/@types/node"));
writeFileSync(path.join(folder, "package.json"), "{}");

function run(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  return { status, output: stdout + stderr };
}

test("import and require give the same classes", () => {
  writeFileSync(
    path.join(folder, "same.mjs"),
    `import { createRequire } from "node:module";
     import * as imported from "cuda-ipc";
     const required = createRequire(import.meta.url)("cuda-ipc");
     const names = Object.keys(required).filter((name) => name !== "default" && name !== "__esModule");
     const other = names.filter((name) => imported[name] !== required[name]);
     console.log(JSON.stringify({ names: names.length > 20, other, owner: typeof imported.Owner.listen }));`,
  );
  const { status, output } = run("same.mjs");
  expect({ status, output: output.trim() }).toEqual({
    status: 0,
    output: JSON.stringify({ names: true, other: [], owner: "function" }),
  });
});

test("importing it keeps no process alive", () => {
  const { status, output } = run(
    "-e",
    'require("cuda-ipc"); console.log(process.getActiveResourcesInfo().length)',
  );
  expect({ status, output: output.trim() }).toEqual({ status: 0, output: "0" });
});

const program = `
const owner: Owner = await Owner.listen({ socket: "/tmp/s" });
const version: Version = await owner.load("llm", { w: new Float32Array(4) }, { sharing: "vmm" });
const count: number = version.refCount;
const weights: Weights = await attach("llm", { socket: owner.socket, access: "read" });
const pointer: bigint = weights.tensor("w").devicePointer;
const error = new CudaIpcError("ERR_CUDA_IPC_NO_OWNER", "no");
// @ts-expect-error: no such option
await attach("llm", { sokcet: "/tmp/s" });
// @ts-expect-error: no such way of sharing
await owner.load("llm", "model.safetensors", { sharing: "copy" });
export const used = [count, pointer, error.code];
`;

test.each([
  [
    "import",
    "module.mts",
    `import { attach, CudaIpcError, Owner, Version, Weights } from "cuda-ipc";\n${program}`,
  ],
  [
    "require",
    "script.cts",
    `import { attach, CudaIpcError, Owner, Version, Weights } from "cuda-ipc";
     export async function run() { ${program.replace("export const used =", "return")} }`,
  ],
])("types resolve for %s", (_, file, source) => {
  writeFileSync(path.join(folder, file), source);
  const tsc = path.join(
    path.dirname(createRequire(__filename).resolve("typescript/package.json")),
    "bin/tsc",
  );
  const options =
    "--noEmit --strict --module nodenext --target es2022 --lib es2023,esnext.disposable --types node";
  expect(run(tsc, ...options.split(" "), file)).toEqual({ status: 0, output: "" });
});
