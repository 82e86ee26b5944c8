// Where the kernels of a build come from: nvcc, what the package brought along, or nowhere.
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { beforeEach, expect, test } from "vitest";
import { temporaryFolder } from "../helpers/temporary.js";

const root = path.join(__dirname, "../..");

/** Stands in for nvcc: "compiles" to empty kernels of the names that it finds. */
const nvcc = `#!/bin/sh
for last; do :; done
while [ $# -gt 0 ]; do
  case "$1" in --list-gpu-arch) echo compute_50; echo compute_80; exit;; -I) include=$2;; -o) out=$2;; esac
  shift
done
echo '// made by hand' > "$out"
echo '.version 9.0' >> "$out"
case "$last" in *.cu) cat "$include"/kernels/*.cu | sed -n 's/^extern "C" __global__ void \\([a-z0-9_]*\\)(.*/.visible .entry \\1()/p' >> "$out";; esac
`;

const folder = temporaryFolder();
let packages = 0;
let package_: string;

beforeEach(() => {
  package_ = path.join(folder, `package${packages++}`);
  mkdirSync(path.join(package_, "toolkit/bin"), { recursive: true });
  for (const part of ["scripts", "native/kernels"]) {
    cpSync(path.join(root, part), path.join(package_, part), { recursive: true });
  }
  const file = path.join(package_, "toolkit/bin/nvcc");
  writeFileSync(file, nvcc);
  chmodSync(file, 0o755);
});

function run(script: string, args: string[], withNvcc: boolean): string {
  const env = withNvcc
    ? { PATH: "/usr/bin:/bin", CUDA_HOME: path.join(package_, "toolkit") }
    : { PATH: "/usr/bin:/bin", CUDA_IPC_NO_NVCC: "1" };
  const { status, stderr } = spawnSync(process.execPath, [path.join(package_, "scripts", script), ...args], {
    env,
    encoding: "utf8",
  });
  expect(stderr).not.toContain("Error");
  expect(status).toBe(0);
  return stderr;
}

function embedded(withNvcc: boolean): { text: string; said: string } {
  const out = path.join(package_, "kernels.inc");
  const said = run("embed-kernels.js", [out], withNvcc);
  return { text: readFileSync(out, "utf8"), said };
}

const prebuilt = () => path.join(package_, "prebuilt/kernels.ptx");
const pack = (withNvcc: boolean) => run("prebuilt-kernels.js", [], withNvcc);

test("packed with nvcc, built without: the kernels are those of the package", () => {
  pack(true);
  const { text, said } = embedded(false);
  expect(said).toContain("came with the package");
  expect(text).toContain("kKernelsEmbedded = true");
  expect(text).toContain(".visible .entry cuda_ipc_checksum(");
  expect(text).toContain(".version 8.0");
});

test("nvcc, where it is found, has precedence", () => {
  pack(true);
  writeFileSync(prebuilt(), readFileSync(prebuilt(), "utf8").replaceAll("cuda_ipc", "another"));
  const { text, said } = embedded(true);
  expect(said).toBe("");
  expect(text).toContain(".visible .entry cuda_ipc_checksum(");
});

test("kernels of other sources are not used, and not packed again", () => {
  pack(true);
  appendFileSync(path.join(package_, "native/kernels/fill.cu"), "// changed\n");
  expect(embedded(false).text).toContain("kKernelsEmbedded = false");
  expect(pack(false)).toContain("packing without GPU kernels");
  expect(existsSync(prebuilt())).toBe(false);
});

test("packed without nvcc: those that are there stay", () => {
  pack(true);
  const before = readFileSync(prebuilt(), "utf8");
  expect(pack(false)).toBe("");
  expect(readFileSync(prebuilt(), "utf8")).toBe(before);
});

test("neither: the names alone, for the host driver", () => {
  expect(pack(false)).toContain("packing without GPU kernels");
  const { text, said } = embedded(false);
  expect(said).toContain("building without GPU kernels");
  expect(text).toContain("kKernelsEmbedded = false");
  expect(text).toContain("// cuda-ipc kernels:");
});

test("a build is stale when the origin of its kernels has changed", () => {
  const stale = (withNvcc: boolean) => {
    const script = `console.log(require(${JSON.stringify(path.join(package_, "scripts/embed-kernels.js"))}).isStale(process.argv[1]))`;
    const env = { CUDA_HOME: path.join(package_, "toolkit"), CUDA_IPC_NO_NVCC: withNvcc ? "" : "1" };
    const args = ["-e", script, path.join(package_, "kernels.inc")];
    return spawnSync(process.execPath, args, { env, encoding: "utf8" }).stdout.trim();
  };
  expect(stale(false)).toBe("false");
  embedded(false);
  expect([stale(false), stale(true)]).toEqual(["false", "true"]);
  pack(true);
  expect([stale(false), stale(true)]).toEqual(["true", "true"]);
  embedded(true);
  expect([stale(false), stale(true)]).toEqual(["true", "false"]);
});
