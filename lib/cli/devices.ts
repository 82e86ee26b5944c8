import type { Command } from "commander";
import {
  cudaDriverGetVersion,
  cudaGetDeviceCount,
  cudaGetDeviceProperties,
  cudaMemGetInfo,
} from "../cuda/device.js";
import { native } from "../native.js";
import { chooseDriver, driverOption, jsonOption } from "./options.js";
import { say, sayJson } from "./output.js";
import { bytesText, tableText } from "./text.js";

interface Options {
  driver?: string;
  json: boolean;
  memory: boolean;
}

export function addDevices(program: Command): void {
  program
    .command("devices")
    .description("List the devices that this process sees.")
    .option("--memory", "free memory too, which brings CUDA up on every device", false)
    .addOption(driverOption())
    .addOption(jsonOption())
    .action(listDevices);
}

async function listDevices({ driver, json, memory }: Options): Promise<void> {
  chooseDriver(driver);
  const version = await cudaDriverGetVersion();
  const devices = [];
  for (let device = 0; device < (await cudaGetDeviceCount()); device++) {
    const facts = await cudaGetDeviceProperties({ device });
    devices.push(memory ? { ...facts, freeBytes: (await cudaMemGetInfo({ device })).freeBytes } : facts);
  }
  const provider = native.chosenProvider();
  if (json) {
    sayJson({ driver: provider, cudaVersion: version, devices });
    return;
  }
  const what = provider === "host" ? "the built-in host driver, no GPU is used" : "NVIDIA's driver";
  say(`Driver: ${provider} (${what}), CUDA ${Math.floor(version / 1000)}.${(version % 1000) / 10}`);
  const header = ["DEVICE", "UUID", "NAME", "COMPUTE", "MEMORY", "SHARING", ...(memory ? ["FREE"] : [])];
  const rows = devices.map((facts) => [
    String(facts.ordinal),
    facts.uuid,
    facts.name,
    facts.computeCapability.join("."),
    bytesText(facts.totalBytes),
    facts.vmm ? "vmm, ipc" : "ipc",
    ...("freeBytes" in facts ? [bytesText(facts.freeBytes)] : []),
  ]);
  say(tableText(header, rows));
}
