// prebuilt/kernels.ptx, which published packages bring along for machines without nvcc: node prebuilt-kernels.js
// writes it, where nvcc is found. Its first line names the sources that it was made of, and for others it is not used.
const { createHash } = require("node:crypto");
const { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { compile, findNvcc, inputs } = require("./compile-kernels.js");

const root = path.join(__dirname, "..");
const file = path.join(root, "prebuilt", "kernels.ptx");

function firstLine() {
  const hash = createHash("sha256");
  for (const name of inputs)
    hash.update(`${name}\n`).update(readFileSync(path.join(root, "native", "kernels", name)));
  return `// cuda-ipc kernels of ${hash.digest("hex")}\n`;
}

/** The PTX of the sources as they are; undefined where there is none. */
function readPrebuilt() {
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, "utf8");
  return text.startsWith(firstLine()) ? text.slice(firstLine().length) : undefined;
}

function main() {
  const nvcc = findNvcc();
  if (nvcc !== undefined) {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, firstLine() + compile(nvcc));
  } else if (readPrebuilt() === undefined) {
    rmSync(file, { force: true });
    process.stderr.write(
      "cuda-ipc: no nvcc found, packing without GPU kernels: who installs this needs nvcc\n",
    );
  }
}

module.exports = { readPrebuilt };
if (require.main === module) main();
