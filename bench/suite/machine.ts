/** What the numbers are of: the machine, its GPU, and the versions of everything in between. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { cudaDriverGetVersion, cudaGetDeviceProperties } from "../../lib/index.js";
import { packageRoot } from "../common/paths.js";

const run = promisify(execFile);

export interface Machine {
  cpu: string;
  cpus: number;
  memoryBytes: number;
  arch: string;
  kernel: string;
  gpu: string;
  gpuUuid: string;
  gpuMemoryBytes: number;
  computeCapability: string;
  /** Newest CUDA version of the driver, as "13.0". */
  driverVersion: string;
  /** The kernel driver's own version, as nvidia-smi has it; "" without one. */
  kernelDriver: string;
  node: string;
  package: string;
}

export async function describeMachine(device: number): Promise<Machine> {
  const gpu = await cudaGetDeviceProperties({ device });
  const driver = await cudaDriverGetVersion();
  const cpus = os.cpus();
  const { version } = JSON.parse(await readFile(path.join(packageRoot, "package.json"), "utf8"));
  return {
    cpu: cpus[0]?.model.trim() || "unknown",
    cpus: cpus.length,
    memoryBytes: os.totalmem(),
    arch: process.arch,
    kernel: os.release(),
    gpu: gpu.name,
    gpuUuid: gpu.uuid,
    gpuMemoryBytes: gpu.totalBytes,
    computeCapability: gpu.computeCapability.join("."),
    driverVersion: `${Math.floor(driver / 1000)}.${Math.floor((driver % 1000) / 10)}`,
    kernelDriver: await kernelDriver(gpu.uuid),
    node: process.version,
    package: version,
  };
}

async function kernelDriver(uuid: string): Promise<string> {
  try {
    const { stdout } = await run("nvidia-smi", [
      "-i",
      uuid,
      "--query-gpu=driver_version",
      "--format=csv,noheader",
    ]);
    return stdout.trim();
  } catch {
    return "";
  }
}

/** The commit of the tree that runs, "-dirty" behind it when files differ; "unknown" outside of git. */
export async function currentCommit(): Promise<string> {
  try {
    const { stdout } = await run("git", ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], {
      cwd: packageRoot,
    });
    return stdout.trim();
  } catch {
    return "unknown";
  }
}
