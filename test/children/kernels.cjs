// Runs the built-in kernels on memory that a test sends, on whatever driver this process is on.
const cuda = require("../../dist/lib/cuda/index.js");
const { native } = require("../../dist/lib/native.js");
const serve = require("./commands.cjs");

async function withMemory(content, use) {
  const base = await cuda.cudaMalloc(content.length);
  try {
    await cuda.cudaMemcpy(base, content);
    return await use(base);
  } finally {
    await cuda.cudaFree(base);
  }
}

serve({
  /** One launch; `{ at }` in the arguments is a pointer to there in the memory. What the memory holds then. */
  launch: (kernel, grid, block, content, args) =>
    withMemory(content, async (base) => {
      const module = await cuda.builtinModule();
      const launched = await module.function(kernel);
      const resolved = args.map((arg) => ("at" in arg ? { pointer: base + BigInt(arg.at) } : arg));
      launched.launch({ grid, block, args: resolved });
      await cuda.cudaDeviceSynchronize();
      const result = Buffer.alloc(content.length);
      await cuda.cudaMemcpy(result, base);
      return result;
    }),
  checksum: (content, offset, bytes) =>
    withMemory(content, async (base) =>
      (await native.checksum(0, base + BigInt(offset), bytes)).toString("hex"),
    ),
  settle: () => ({ ...native.mappingStatistics(), fds: {} }),
});
