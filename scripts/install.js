// Builds the addon with node-gyp. Where Node's headers lie beside the running Node they are used, so that the
// build works offline; otherwise node-gyp fetches them as it always does.
const { spawnSync } = require("node:child_process");
const { existsSync, readFileSync, rmSync } = require("node:fs");
const path = require("node:path");
const { isStale } = require("./embed-kernels.js");

const root = path.join(__dirname, "..");

/** This checkout's own node-gyp; where the package is a dependency, the one that came with the package manager. */
function nodeGyp() {
  try {
    return [process.execPath, require.resolve("node-gyp/bin/node-gyp.js")];
  } catch {
    const bundled = process.env.npm_config_node_gyp;
    return bundled && existsSync(bundled) ? [process.execPath, bundled] : ["node-gyp"];
  }
}

/** The folder above include/node, when it holds the headers of the running Node's release line. */
function headersBeside() {
  const prefix = path.resolve(path.dirname(process.execPath), "..");
  const file = path.join(prefix, "include/node/node_version.h");
  if (!existsSync(file)) return undefined;
  const major = /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(file, "utf8"))?.[1];
  return major === process.versions.node.split(".")[0] ? prefix : undefined;
}

// A toolkit that came or went is no input of make's.
const kernels = path.join(root, "build/Release/obj/gen/kernels_ptx.inc");
if (isStale(kernels)) rmSync(kernels);

const [command, ...args] = nodeGyp();
// Configured anew every time: that is what notices added and removed sources. Objects are kept.
args.push("configure", "build");
const headers = process.env.npm_config_nodedir ? undefined : headersBeside();
if (headers !== undefined) args.push(`--nodedir=${headers}`);
const env = { ...process.env, JOBS: process.env.JOBS ?? "max" };
const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", env });
if (status !== 0) {
  if (error) console.error(`cuda-ipc: ${command} could not be started: ${error.message}`);
  console.error(
    "cuda-ipc: the native addon could not be built. It needs Linux, a C++17 compiler (g++ 9 or clang 10, or newer), " +
      "make and python3, and Node's headers, which node-gyp downloads where they are not installed. " +
      "Debian and Ubuntu: apt-get install g++ make python3. No CUDA toolkit is needed.",
  );
}
process.exit(status ?? 1);
