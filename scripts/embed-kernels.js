// Writes the kernels' PTX as a C++ string: node embed-kernels.js OUT.inc. From nvcc where it is found (and not
// forbidden by CUDA_IPC_NO_NVCC=1), else what the package brought along. Where there is neither, the string holds the
// kernels' names alone, which is all the host driver needs; on a GPU the addon then says how to get the kernels.
// With --list: the inputs, for gyp.
const { existsSync, readFileSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { compile, findNvcc, inputs, kernelNames } = require("./compile-kernels.js");
const { readPrebuilt } = require("./prebuilt-kernels.js");

function literal(text) {
  // In pieces: compilers limit the length of one literal, not of literals side by side.
  return text
    .match(/(?:.*\n){1,100}/g)
    .map((piece) => `R"ptx(${piece})ptx"`)
    .join("\n");
}

function origin() {
  if (findNvcc() !== undefined) return "nvcc";
  return readPrebuilt() === undefined ? "nowhere" : "the package";
}

const mark = (from) => `// PTX from ${from}.\n`;

const told = {
  "the package": "cuda-ipc: no nvcc found, using the GPU kernels that came with the package\n",
  nowhere: "cuda-ipc: no nvcc found, building without GPU kernels (the host driver needs none)\n",
};

function embed(file) {
  const from = origin();
  process.stderr.write(told[from] ?? "");
  const ptx = from === "nvcc" ? compile(findNvcc()) : (readPrebuilt() ?? "");
  const image = `// cuda-ipc kernels: ${kernelNames().join(" ")}\n${ptx}`;
  const flag = `constexpr bool kKernelsEmbedded = ${ptx !== ""};\n`;
  writeFileSync(file, `${mark(from)}constexpr char kKernelImage[] =\n${literal(image)};\n${flag}`);
}

/** Whether what it would be written from now has come since, or gone. */
function isStale(file) {
  return existsSync(file) && !readFileSync(file, "utf8").startsWith(mark(origin()));
}

function main() {
  if (process.argv[2] === "--list") {
    console.log(inputs.map((name) => path.posix.join("native", "kernels", name)).join("\n"));
  } else if (process.argv.length === 3) {
    try {
      embed(process.argv[2]);
    } catch (error) {
      process.stderr.write(
        `cuda-ipc: the GPU kernels could not be compiled. CUDA_IPC_NO_NVCC=1 builds without nvcc.\n${error.message}\n`,
      );
      process.exit(1);
    }
  } else {
    process.stderr.write("usage: node scripts/embed-kernels.js OUT.inc | --list\n");
    process.exit(2);
  }
}

module.exports = { isStale };
if (require.main === module) main();
