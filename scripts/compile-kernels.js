// Compiles native/kernels/*.cu to one PTX module.
const { spawnSync } = require("node:child_process");
const {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const native = path.join(__dirname, "..", "native");
/** What the PTX depends on: names in native/kernels/. */
const inputs = readdirSync(path.join(native, "kernels"))
  .filter((name) => /\.(cu|h)$/.test(name))
  .sort();
const units = inputs.filter((name) => name.endsWith(".cu"));

// sm_75 is the oldest GPU in support, and PTX 8.0 what the oldest driver in support (R525) takes.
const OLDEST_ARCH = 75;
const NEWEST_PTX = [8, 0];

function kernelNames() {
  return units.flatMap((unit) => {
    const text = readFileSync(path.join(native, "kernels", unit), "utf8");
    return [...text.matchAll(/extern "C" __global__ void (\w+)\(/g)].map((match) => match[1]);
  });
}

/** The path of nvcc; undefined where there is none, or CUDA_IPC_NO_NVCC=1. */
function findNvcc() {
  if (process.env.CUDA_IPC_NO_NVCC === "1") return undefined;
  const toolkits = [process.env.CUDA_HOME, process.env.CUDA_PATH, "/usr/local/cuda"].filter(Boolean);
  const folders = [
    ...(process.env.PATH ?? "").split(path.delimiter),
    ...toolkits.map((folder) => path.join(folder, "bin")),
  ];
  const found = folders
    .filter(Boolean)
    .map((folder) => path.join(folder, "nvcc"))
    .find((file) => existsSync(file));
  // Through links: nvcc looks for its own parts beside the name it was started by.
  return found === undefined ? undefined : realpathSync(found);
}

function run(nvcc, args) {
  const { status, stdout, stderr, error } = spawnSync(nvcc, args, { encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${[nvcc, ...args].join(" ")} failed:\n${stdout}${stderr}`);
  return stdout;
}

/** The oldest architecture from compute_75 on that this nvcc still compiles for. */
function oldestArch(nvcc) {
  const known = [...run(nvcc, ["--list-gpu-arch"]).matchAll(/^compute_(\d+)$/gm)].map((match) =>
    Number(match[1]),
  );
  return known.sort((a, b) => a - b).find((arch) => arch >= OLDEST_ARCH) ?? OLDEST_ARCH;
}

function lowerVersion(ptx) {
  return ptx.replace(/^\.version (\d+)\.(\d+)/m, (line, major, minor) => {
    const newer =
      Number(major) > NEWEST_PTX[0] || (Number(major) === NEWEST_PTX[0] && Number(minor) > NEWEST_PTX[1]);
    return newer ? `.version ${NEWEST_PTX.join(".")}` : line;
  });
}

function withoutComments(ptx) {
  const lines = ptx.split("\n").filter((line) => !/^\s*(\/\/.*)?$/.test(line));
  return `${lines.join("\n")}\n`;
}

function assemble(nvcc, folder) {
  const arch = oldestArch(nvcc);
  const umbrella = path.join(folder, "kernels.cu");
  const output = path.join(folder, "kernels.ptx");
  writeFileSync(umbrella, units.map((unit) => `#include "kernels/${unit}"\n`).join(""));
  // Kernels use nothing of the host compiler's library, so one newer than nvcc knows of does no harm.
  run(nvcc, [
    "-ptx",
    `-arch=compute_${arch}`,
    "-std=c++17",
    "-O3",
    "-allow-unsupported-compiler",
    "-I",
    native,
    "-o",
    output,
    umbrella,
  ]);
  const ptx = lowerVersion(withoutComments(readFileSync(output, "utf8")));
  // The version was lowered by hand: the assembler has the last word on whether the code keeps to it.
  writeFileSync(output, ptx);
  run(nvcc, ["-cubin", `-arch=sm_${arch}`, "-o", path.join(folder, "kernels.cubin"), output]);
  return ptx;
}

/** The PTX, with all kernels in it and no comments. Throws what nvcc says. */
function compile(nvcc) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "cuda-ipc-kernels-"));
  try {
    const ptx = assemble(nvcc, folder);
    const entries = [...ptx.matchAll(/^\.visible \.entry (\w+)\(/gm)].map((match) => match[1]);
    if (entries.sort().join() !== kernelNames().sort().join())
      throw new Error(`compiled to other kernels: ${entries}`);
    return ptx;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

module.exports = { inputs, kernelNames, findNvcc, compile };
