import { defineConfig } from "vitest/config";

/** Where to leave the results for .ci/run, beside what is printed. */
const results = process.env.CUDA_IPC_TEST_RESULTS;

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/helpers/run-folder.ts"],
    setupFiles: ["test/helpers/setup.ts"],
    pool: "forks",
    env: { CUDA_IPC_DRIVER: process.env.CUDA_IPC_DRIVER ?? "host" },
    execArgv: ["--expose-gc"],
    // On the host driver every file has a machine of its own; a GPU's free memory is the same for all of them.
    fileParallelism: process.env.CUDA_IPC_DRIVER !== "libcuda",
    // Real processes and real sockets: generous, so that a slow machine is not a failure.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: results ? ["default", ["json", { outputFile: results }]] : ["default"],
    server: { deps: { external: [/\/dist\//, /\/build\//] } },
  },
});
