import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { buildFolder, packageRoot, peersFolder } from "./paths.js";

const run = promisify(execFile);

/** The peers in C++, and what each needs of the package: the raw driver table, the kernels. */
const peers = {
  floor: { rawDriver: true, kernels: true },
  loadfloor: { rawDriver: true, kernels: false },
  deathwatch: { rawDriver: false, kernels: false },
  filecache: { rawDriver: false, kernels: false },
};

export type PeerName = keyof typeof peers;

/** Builds a peer in C++ with the compiler that builds the addon, once for each state of its sources. */
export async function compilePeer(name: PeerName): Promise<string> {
  const native = path.join(packageRoot, "native");
  const { rawDriver, kernels } = peers[name];
  const folders = rawDriver
    ? [peersFolder, path.join(native, "driver"), path.join(native, "kernels")]
    : [peersFolder];
  const files = (await Promise.all(folders.map(filesUnder))).flat().sort();
  const output = path.join(buildFolder, `${name}-${await digest(files)}`);
  if (existsSync(output)) return output;

  await mkdir(buildFolder, { recursive: true });
  const scratch = await mkdtemp(path.join(buildFolder, `${name}-`));
  try {
    const sources = [path.join(peersFolder, `${name}.cc`)];
    if (rawDriver) {
      sources.push(
        ...files.filter((file) => file.startsWith(path.join(native, "driver")) && file.endsWith(".cc")),
      );
    }
    if (kernels) {
      const embed = path.join(packageRoot, "scripts", "embed-kernels.js");
      await run(process.execPath, [embed, path.join(scratch, "kernels_ptx.inc")]);
    }
    const includes = [peersFolder, native, scratch].flatMap((folder) => ["-I", folder]);
    const binary = path.join(scratch, name);
    const libraries = ["-ldl", "-lpthread"];
    await run(compiler(), ["-std=c++17", "-O2", ...includes, "-o", binary, ...sources, ...libraries]);
    // In one step, so that two runs at once do not see half a program.
    await rename(binary, output);
  } finally {
    await rm(scratch, { recursive: true });
  }
  return output;
}

export const compiler = (): string => process.env.CXX || "g++";

async function filesUnder(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

/** By content: copies of the tree with other times share a build. */
async function digest(files: readonly string[]): Promise<string> {
  const hash = createHash("sha256").update(`${compiler()} ${process.arch}`);
  for (const file of files) hash.update(path.relative(packageRoot, file)).update(await readFile(file));
  return hash.digest("hex").slice(0, 16);
}
