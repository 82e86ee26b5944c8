import type { Command } from "commander";
import { CudaIpcError } from "../errors.js";
import { attach } from "../sharing/attach.js";
import { chooseDriver, driverOption, jsonOption, socketOption } from "./options.js";
import { say, sayJson } from "./output.js";
import { bytesText, countText, plain, secondsText } from "./text.js";

interface Options {
  socket?: string;
  driver?: string;
  json: boolean;
}

export function addVerify(program: Command): void {
  program
    .command("verify")
    .description("Attach as a worker would, and compute the checksum of the mapped memory anew.")
    .argument("<name>", "the weight set")
    .addOption(socketOption())
    .addOption(driverOption())
    .addOption(jsonOption())
    .action(verify);
}

async function verify(name: string, { socket, driver, json }: Options): Promise<void> {
  chooseDriver(driver);
  const before = performance.now();
  const weights = await attach(name, { socket });
  try {
    const attached = performance.now();
    const computed = await weights.computeChecksum();
    const done = performance.now();
    const { checksum, bytes, size, sharing } = weights;
    const version = weights.version.number;
    if (computed !== checksum) {
      throw new CudaIpcError(
        "ERR_CUDA_IPC_CHECKSUM_MISMATCH",
        `Version ${version} of ${JSON.stringify(name)} was published with the checksum ${checksum}, and its memory has ` +
          `${computed} now: a worker has written to it (a writable version), or it is damaged. Publish it anew.`,
        { details: { expected: checksum, actual: computed } },
      );
    }
    const times = { attachSeconds: (attached - before) / 1000, checksumSeconds: (done - attached) / 1000 };
    if (json) {
      sayJson({ set: name, version, sharing, tensors: size, bytes, checksum, ...times });
      return;
    }
    say(
      `${plain(name)}, version ${version} (${sharing}): ${countText(size, "tensor")}, ${bytesText(bytes)} mapped`,
    );
    say(`  attached in ${secondsText(times.attachSeconds)}, the driver's start included`);
    say(`  checksum ${computed}, as published; computed in ${secondsText(times.checksumSeconds)}`);
  } finally {
    await weights.release();
  }
}
